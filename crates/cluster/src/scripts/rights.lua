-- Tries every command of the scripts on keys that are not there, and answers what may not be used.
local missing = {}
local function try(command, ...)
  local answer = redis.pcall(command, ...)
  if type(answer) == 'table' and answer.err and
    (string.find(answer.err, 'NOPERM', 1, true) or string.find(answer.err, "can't run", 1, true) or
     string.find(answer.err, "can't access", 1, true)) then
    missing[#missing + 1] = command
  end
end
local key = KEYS[1]
try('HSET', key, 'f', 'v')
try('HSETNX', key, 'f', 'v')
try('HGET', key, 'f')
try('HMGET', key, 'f')
try('HEXISTS', key, 'f')
try('HDEL', key, 'f')
try('DEL', key)
try('XADD', key, '1-0', 'f', 'v')
try('XRANGE', key, '-', '+')
try('XREAD', 'STREAMS', key, '0')
try('XTRIM', key, 'MINID', '2-0')
try('DEL', key)
try('ZADD', key, 0, 'm')
try('ZRANGE', key, 0, 0)
try('ZRANGEBYSCORE', key, '-inf', '+inf')
try('ZRANGEBYLEX', key, '-', '+')
try('ZCARD', key)
try('ZREM', key, 'm')
try('SPUBLISH', KEYS[2], '')
return missing
