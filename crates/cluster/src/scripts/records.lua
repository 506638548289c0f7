-- After those of prove.lua: ARGV[6] after, [7] through, [8] how many, [9] how many bytes. Answers
-- offset, token, link and record of each.
local meta = prove()
if not meta then return {'none'} end
local after, through = tonumber(ARGV[6]), math.min(tonumber(ARGV[7]), meta.head)
local count, room = tonumber(ARGV[8]), tonumber(ARGV[9])
local found = {}
while after < through and count > 0 and room >= 0 do
  local list = redis.call('XRANGE', KEYS[2], id_of(after + 1), id_of(through), 'COUNT',
    math.min(count, 8))
  if #list == 0 then break end
  for _, one in ipairs(list) do
    local entry = fields(one[2])
    after = tonumber(string.match(one[1], '^%d+'))
    found[#found + 1] = after
    found[#found + 1] = entry.k
    found[#found + 1] = entry.p
    found[#found + 1] = entry.r
    count, room = count - 1, room - #entry.r
  end
end
return answer('ok', meta, found)
