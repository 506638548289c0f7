-- KEYS[1] meta, [2] log, [3] ids, [4] rooms, [5] state, [6] due, [7] await.

local function forget(entry, meta)
  local tenant = string.match(entry.i, '^[^\n]*\n')
  redis.call('HDEL', KEYS[3], entry.i)
  for room in string.gmatch(entry.x, '[^\n]+') do
    redis.call('ZREM', KEYS[4], tenant .. room .. '\n' .. pad(meta.floor))
  end
  if entry.w ~= '' then redis.call('ZREM', KEYS[7], pad(meta.floor)) end
end

-- Takes the oldest records that were appended at `before` or earlier, or are beyond `bytes_max`, at
-- most `steps` of them.
local function trim(meta, before, bytes_max, steps)
  local function is_due(at) return meta.bytes > bytes_max or at <= before end
  local taken, is_done = 0, false
  while not is_done and taken < steps and meta.floor < meta.head and is_due(meta.oldest) do
    local list = redis.call('XRANGE', KEYS[2], id_of(meta.floor + 1), '+', 'COUNT', 16)
    is_done = #list == 0
    for _, one in ipairs(list) do
      local entry = fields(one[2])
      meta.oldest = tonumber(entry.a)
      if taken >= steps or not is_due(meta.oldest) then
        is_done = true
        break
      end
      meta.floor = meta.floor + 1
      meta.bytes = meta.bytes - tonumber(entry.b)
      forget(entry, meta)
      taken = taken + 1
    end
  end
  if taken > 0 then
    redis.call('XTRIM', KEYS[2], 'MINID', id_of(meta.floor + 1))
    redis.call('HSET', KEYS[1], 'floor', dec(meta.floor), 'bytes', dec(meta.bytes), 'oldest',
      dec(meta.oldest))
  end
end

-- Forgets values whose time is over by `now`. They count as absent already.
local function sweep(now, steps)
  local over = redis.call('ZRANGEBYSCORE', KEYS[6], '-inf', now, 'LIMIT', 0, steps)
  if #over > 0 then
    redis.call('HDEL', KEYS[5], unpack(over))
    redis.call('ZREM', KEYS[6], unpack(over))
  end
end
