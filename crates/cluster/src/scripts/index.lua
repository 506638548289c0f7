-- KEYS[3] rooms. After those of prove.lua: ARGV[6] after, [7] through, [8] how many of each room,
-- then the rooms. Answers up to where all of them are complete, and the offsets.
local meta = prove()
if not meta then return {'none'} end
local count = tonumber(ARGV[8])
local horizon = math.min(tonumber(ARGV[7]), meta.head)
local from, to = pad(tonumber(ARGV[6])), pad(horizon)
local seen, found = {}, {0}
for at = 9, #ARGV do
  local room = ARGV[at] .. '\n'
  local list = redis.call('ZRANGEBYLEX', KEYS[3], '(' .. room .. from, '[' .. room .. to, 'LIMIT',
    0, count)
  for index, member in ipairs(list) do
    local offset = tonumber(string.sub(member, -16))
    if index == count then horizon = math.min(horizon, offset) end
    if not seen[offset] then
      seen[offset] = true
      found[#found + 1] = offset
    end
  end
end
found[1] = horizon
return answer('ok', meta, found)
