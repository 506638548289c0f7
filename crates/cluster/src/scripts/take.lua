-- ARGV[1] prefix, [2] now, [3] how many at most. Answers id and value of each.
local found, at, STEP = {}, 0, 1000
repeat
  local list = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', ARGV[2], 'LIMIT', at, STEP)
  at = at + #list
  for _, id in ipairs(list) do
    if #found < 2 * tonumber(ARGV[3]) and begins(id, ARGV[1]) then
      found[#found + 1] = id
      found[#found + 1] = redis.call('HGET', KEYS[1], id)
    end
  end
until #list < STEP or #found >= 2 * tonumber(ARGV[3])
for index = 1, #found, 2 do release(found[index]) end
return found
