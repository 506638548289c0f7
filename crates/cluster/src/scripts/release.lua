-- Ids.
for at = 1, #ARGV do release(ARGV[at]) end
return 0
