-- KEYS[1] leases: tenant, name and holder to end and value; KEYS[2] the same in order; KEYS[3] when
-- they end.
local function split(value)
  local ends, at = string.match(value, '^(-?%d+):()')
  return tonumber(ends), string.sub(value, at)
end

local function hold(id, ends, value)
  redis.call('HSET', KEYS[1], id, ends .. ':' .. value)
  redis.call('ZADD', KEYS[2], 0, id)
  redis.call('ZADD', KEYS[3], ends, id)
end

local function release(id)
  redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
  redis.call('ZREM', KEYS[3], id)
end

local function begins(id, prefix)
  local at = string.find(id, '\n', 1, true)
  return string.sub(id, at + 1, at + #prefix) == prefix
end
