-- locks/lock_redis.release.lua: leave, if we are still the one inside.
-- A script and not GET then DEL: between the two the lease may end, and DEL would free another's lock.
-- KEYS[1] the lock    ARGV[1] the owner
-- Returns 1 released, 0 it was not ours any more
if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0
