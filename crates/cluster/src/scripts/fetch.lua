-- After those of prove.lua: ARGV[6] how many bytes, then offsets. Answers their records, false for
-- one that is not there, and fewer if they are too long.
local meta = prove()
if not meta then return {'none'} end
local room, found = tonumber(ARGV[6]), {}
for at = 7, #ARGV do
  if room < 0 then break end
  local one = redis.call('XRANGE', KEYS[2], ARGV[at] .. '-0', ARGV[at] .. '-0')[1]
  local record = one and fields(one[2]).r
  found[#found + 1] = record or false
  room = room - (record and #record or 0)
end
return answer('ok', meta, found)
