-- Three for each: id, end, value.
for at = 1, #ARGV, 3 do hold(ARGV[at], ARGV[at + 1], ARGV[at + 2]) end
return 0
