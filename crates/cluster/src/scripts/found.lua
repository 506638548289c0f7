-- KEYS[1] identity. ARGV[1] epoch, [2] partitions, [3] format, in case that there is none.
if redis.call('HSETNX', KEYS[1], 'epoch', ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], 'partitions', ARGV[2], 'format', ARGV[3], 'made', 'no')
end
return redis.call('HMGET', KEYS[1], 'epoch', 'partitions', 'format', 'made')
