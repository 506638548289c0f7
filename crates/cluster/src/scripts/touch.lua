-- ARGV[1] end, [2] now, then digest and generation of each. Answers which were skipped.
local ends, now, skipped = tonumber(ARGV[1]), tonumber(ARGV[2]), {}
for at = 3, #ARGV, 2 do
  local known = load(ARGV[at], now)
  if not known or known.generation > tonumber(ARGV[at + 1]) then
    skipped[#skipped + 1] = (at - 3) / 2
  elseif known.ends < ends then
    store(ARGV[at], known.generation, ends, known.body)
  end
end
return skipped
