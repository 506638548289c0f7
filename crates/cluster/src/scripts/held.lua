-- ARGV[1] prefix, [2] the last id that the caller has, or nothing, [3] how many at most, [4] how
-- many to look at. Answers where to go on, or nothing, then id and value of each.
local from = ARGV[2] == '' and '-' or '(' .. ARGV[2]
local list = redis.call('ZRANGEBYLEX', KEYS[2], from, '+', 'LIMIT', 0, ARGV[4])
local found, count = {''}, 0
for _, id in ipairs(list) do
  if count == tonumber(ARGV[3]) then break end
  found[1] = id
  if begins(id, ARGV[1]) then
    count = count + 1
    found[#found + 1] = id
    found[#found + 1] = redis.call('HGET', KEYS[1], id)
  end
end
if #list < tonumber(ARGV[4]) and found[1] == (list[#list] or '') then found[1] = '' end
return found
