-- After those of prove.lua: ARGV[6] now, [7] records of then or earlier are taken, [8] the most
-- bytes, [9] salt of versions, [10] tenant, [11] and [12] how many events and changes, [13] '1' if
-- also a duplicate is to be written, so that WAIT waits for its first append. Then six for each
-- event: id, fingerprint, bytes, rooms, end of the receipt, record; and six for each change: key,
-- expectation, operation, value, end, index of its event.
local EVENTS = 14
local meta = prove()
if not meta then return {'none'} end
local now, tenant = tonumber(ARGV[6]), ARGV[10] .. '\n'
local event_count, change_count = tonumber(ARGV[11]), tonumber(ARGV[12])
local CHANGES = EVENTS + 6 * event_count

local places, within, new = {}, {}, 0
for index = 0, event_count - 1 do
  local at = EVENTS + 6 * index
  local id, fingerprint = tenant .. ARGV[at], ARGV[at + 1]
  local known = within[id] or redis.call('HGET', KEYS[3], id)
  if not known then
    new = new + 1
    within[id] = fingerprint .. dec(meta.head + new)
    places[#places + 1] = meta.head + new
  elseif string.sub(known, 1, 16) == fingerprint then
    places[#places + 1] = -tonumber(string.sub(known, 17))
  else
    return answer('reused', meta, {index})
  end
end

-- If all events are known this is a retry, and the changes happened with the first attempt.
local function makes(at)
  local event = tonumber(ARGV[at + 5])
  return (event_count == 0 or new > 0) and (event < 0 or places[event + 1] > 0)
end

local function version_of(field)
  local value = redis.call('HGET', KEYS[5], field)
  if not value then return nil end
  local version, ends = string.match(value, '^(%d+):(-?%d*):')
  if ends ~= '' and tonumber(ends) <= now then return nil end
  return version
end

for index = 0, change_count - 1 do
  local at = CHANGES + 6 * index
  local expect = ARGV[at + 1]
  if expect ~= '' and makes(at) then
    local version = version_of(tenant .. ARGV[at])
    local holds = version == expect or (expect == 'absent' and not version)
    if not holds then return answer('conflict', meta, {index}) end
  end
end

-- Everything is decided: from here on it is written.
local token = ARGV[5]
if new > 0 and meta.head == meta.floor then meta.oldest = now end
for index = 0, event_count - 1 do
  local at, offset = EVENTS + 6 * index, places[index + 1]
  if offset > 0 then
    local id, rooms, receipt = tenant .. ARGV[at], ARGV[at + 3], ARGV[at + 4]
    redis.call('XADD', KEYS[2], id_of(offset), 'r', ARGV[at + 5], 'k', token, 'p', meta.link,
      'a', ARGV[6], 'b', ARGV[at + 2], 'i', id, 'x', rooms, 'w', receipt)
    meta.head, meta.token, meta.link = offset, token, token
    meta.bytes = meta.bytes + tonumber(ARGV[at + 2])
    redis.call('HSET', KEYS[3], id, ARGV[at + 1] .. dec(offset))
    for room in string.gmatch(rooms, '[^\n]+') do
      redis.call('ZADD', KEYS[4], 0, tenant .. room .. '\n' .. pad(offset))
    end
    if receipt ~= '' then redis.call('ZADD', KEYS[7], receipt, pad(offset)) end
  end
end
local changed = 0
for index = 0, change_count - 1 do
  local at = CHANGES + 6 * index
  if makes(at) then
    local field, ends = tenant .. ARGV[at], ARGV[at + 4]
    changed = changed + 1
    if ARGV[at + 2] == 'put' then
      -- A history that lost changes must not give their versions to others, hence the salt.
      meta.version = meta.version + 1
      local version = dec(meta.version * 65536 + tonumber(ARGV[9]))
      redis.call('HSET', KEYS[5], field, version .. ':' .. ends .. ':' .. ARGV[at + 3])
    else
      redis.call('HDEL', KEYS[5], field)
      ends = ''
    end
    if ends ~= '' then
      redis.call('ZADD', KEYS[6], ends, field)
    else
      redis.call('ZREM', KEYS[6], field)
    end
  end
end
if new > 0 or changed > 0 or ARGV[13] == '1' then
  redis.call('HSET', KEYS[1], 'head', dec(meta.head), 'bytes', dec(meta.bytes), 'version',
    dec(meta.version), 'token', meta.token, 'link', meta.link, 'oldest', dec(meta.oldest))
end
trim(meta, tonumber(ARGV[7]), tonumber(ARGV[8]), 64 + 2 * new)
sweep(now, 32)
return answer('ok', meta, places)
