-- ARGV[1] digest, [2] owner, [3] end, [4] now.
local known = load(ARGV[1], tonumber(ARGV[4]))
if not known or known.owner ~= ARGV[2] then return false end
local generation = known.generation + 1
store(ARGV[1], generation, math.max(known.ends, tonumber(ARGV[3])), known.body)
return {generation, known.rest}
