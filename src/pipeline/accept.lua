-- pipeline/accept.lua: units that another bucket gave arrive, each number once.
-- KEYS[1] head of the bucket that they were given to
-- ARGV[1] epoch  [2] the giver  [3] number  [4] units
-- Returns 1 if they arrived now, 0 if they had before or Redis is of another epoch
local head = redis.call('HMGET', KEYS[1], 'epoch', 'in:' .. ARGV[2])
if head[1] ~= ARGV[1] or tonumber(ARGV[3]) <= tonumber(head[2] or '0') then
    return 0
end
redis.call('HSET', KEYS[1], 'in:' .. ARGV[2], ARGV[3])
redis.call('HINCRBY', KEYS[1], 'left', ARGV[4])
redis.call('HINCRBY', KEYS[1], 'lent', -tonumber(ARGV[4]))
return 1
