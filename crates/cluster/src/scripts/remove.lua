-- ARGV[1] digest, [2] generation.
local known = load(ARGV[1], -1)
if known and known.generation <= tonumber(ARGV[2]) then forget({ARGV[1]}) end
return redis.call('ZCARD', KEYS[2])
