-- locks/lock_redis_del.release.lua: leave, whoever is inside by now. That is the bug.
-- KEYS[1] the lock
-- Returns 1 deleted, 0 there was none
return redis.call('DEL', KEYS[1])
