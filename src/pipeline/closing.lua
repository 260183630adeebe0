-- pipeline/closing.lua: nothing more is taken, for another strategy takes over; at most for so long, should
-- whoever hands over die.
-- KEYS[1] head  ARGV[1] epoch  [2] seconds
-- Returns 1, or 0 if Redis is of another epoch
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
    return 0
end
redis.call('HSET', KEYS[1], 'closing', redis.call('TIME')[1] + ARGV[2])
return 1
