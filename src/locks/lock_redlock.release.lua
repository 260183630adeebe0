-- locks/lock_redlock.release.lua: leave this node, if its key still names this attempt.
-- KEYS[1] the lock    ARGV[1] the attempt
-- Returns 1 released, 0 it was not ours
if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0
