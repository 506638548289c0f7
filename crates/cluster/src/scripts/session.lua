-- KEYS[1] sessions by digest, KEYS[2] when they expire. A session is its generation, its end, the
-- length of its owner's name, that name, and the rest.
local function dec(number) return string.format('%.0f', number) end

local function load(digest, now)
  local value = redis.call('HGET', KEYS[1], digest)
  if not value then return nil end
  local generation, ends, len, at = string.match(value, '^(%d+):(-?%d+):(%d+):()')
  if tonumber(ends) <= now then return nil end
  return {
    generation = tonumber(generation), ends = tonumber(ends),
    owner = string.sub(value, at, at + tonumber(len) - 1), body = len .. ':' .. string.sub(value, at),
    rest = string.sub(value, at + tonumber(len)),
  }
end

local function store(digest, generation, ends, body)
  redis.call('HSET', KEYS[1], digest, dec(generation) .. ':' .. dec(ends) .. ':' .. body)
  redis.call('ZADD', KEYS[2], dec(ends), digest)
end

local function forget(digests)
  if #digests == 0 then return end
  redis.call('HDEL', KEYS[1], unpack(digests))
  redis.call('ZREM', KEYS[2], unpack(digests))
end

-- Forgets those whose time is over by `now`. They count as unknown already.
local function sweep(now)
  forget(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', dec(now), 'LIMIT', 0, 256))
end
