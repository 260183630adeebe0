-- locks/lock_redlock.renew.lua: begin this node's lease anew, if its key still names this attempt.
-- What has expired is not set again: somebody else may have been inside since.
-- KEYS[1] the lock    ARGV[1] the attempt    ARGV[2] the lease in milliseconds
-- Returns 1 begun anew, 0 it was not ours any more
if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
