-- KEYS[1] meta, KEYS[2] log. ARGV[1..3] epoch, offset and token of the last record that the caller
-- knows; ARGV[4] an epoch and ARGV[5] a token that were never used.
local function dec(number) return string.format('%.0f', number) end
local function pad(number) return string.format('%016.0f', number) end
local function id_of(offset) return dec(offset) .. '-0' end

local function fields(list)
  local named = {}
  for at = 1, #list, 2 do named[list[at]] = list[at + 1] end
  return named
end

-- What the partition is, after the caller has proved its history: if the record that it knows is
-- not here, this history has lost it, and goes on under another epoch.
local function prove()
  local m = redis.call('HMGET', KEYS[1], 'epoch', 'head', 'floor', 'bytes', 'version', 'token',
    'link', 'oldest')
  if not m[1] then return nil end
  local meta = {
    epoch = m[1], head = tonumber(m[2]), floor = tonumber(m[3]), bytes = tonumber(m[4]),
    version = tonumber(m[5]), token = m[6], link = m[7], oldest = tonumber(m[8]),
  }
  local offset, is_lost = tonumber(ARGV[2]), false
  if ARGV[1] == meta.epoch and offset > 0 then
    if offset > meta.head then
      is_lost = true
    elseif offset == meta.head then
      is_lost = meta.token ~= ARGV[3]
    elseif offset > meta.floor then
      local found = redis.call('XRANGE', KEYS[2], id_of(offset), id_of(offset))[1]
      is_lost = not found or fields(found[2]).k ~= ARGV[3]
    end
  end
  if is_lost then
    meta.epoch, meta.link = ARGV[4], ARGV[5]
    redis.call('HSET', KEYS[1], 'epoch', meta.epoch, 'link', meta.link)
  end
  return meta
end

local function answer(word, meta, rest)
  local list = {word, meta.epoch, meta.head, meta.floor, meta.token, meta.link, meta.bytes}
  for _, one in ipairs(rest or {}) do list[#list + 1] = one end
  return list
end
