-- ARGV[1] end, then ids. Answers which are not held.
local gone = {}
for at = 2, #ARGV do
  local known = redis.call('HGET', KEYS[1], ARGV[at])
  if not known then
    gone[#gone + 1] = at - 2
  else
    local ends, value = split(known)
    if ends < tonumber(ARGV[1]) then hold(ARGV[at], ARGV[1], value) end
  end
end
return gone
