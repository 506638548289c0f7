-- KEYS[1] meta, [2] log, [3] ids, [4] rooms, [5] await. ARGV[1] epoch, [2] partitions, [3] link.
-- A partition without a history begins one. Values outlive it: nothing says when they were made.
local m = redis.call('HMGET', KEYS[1], 'epoch', 'partitions')
if m[1] then return m end
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4], KEYS[5])
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'partitions', ARGV[2], 'head', 0, 'floor', 0,
  'bytes', 0, 'token', '', 'link', ARGV[3], 'oldest', 0)
redis.call('HSETNX', KEYS[1], 'version', 0)
return {ARGV[1], ARGV[2]}
