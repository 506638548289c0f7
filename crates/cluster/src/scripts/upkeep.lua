-- After those of prove.lua: ARGV[6] now, [7] records of then or earlier are taken, [8] the most
-- bytes, [9] how many of anything at most.
local meta = prove()
if not meta then return {'none'} end
trim(meta, tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]))
sweep(ARGV[6], ARGV[9])
return answer('ok', meta)
