-- ARGV[1] now.
sweep(tonumber(ARGV[1]))
return redis.call('ZCARD', KEYS[2])
