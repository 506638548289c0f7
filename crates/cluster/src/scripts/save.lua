-- ARGV[1] digest, [2] generation, [3] end, [4] owner and rest, [5] now, [6] the most sessions.
local now = tonumber(ARGV[5])
local known = load(ARGV[1], now)
if known and known.generation > tonumber(ARGV[2]) then return -1 end
sweep(now)
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  local over = redis.call('ZCARD', KEYS[2]) + 1 - tonumber(ARGV[6])
  if over > 0 then forget(redis.call('ZRANGE', KEYS[2], 0, math.min(over, 256) - 1)) end
end
store(ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4])
return redis.call('ZCARD', KEYS[2])
