-- locks/lock_redisson.renew.lua: begin the lease anew, if it is still this owner's, under this token.
-- KEYS[1] the lock    ARGV[1] owner, ARGV[2] token, ARGV[4] lease in ms
-- Returns 1 renewed, 0 it is over. A lock that is gone stays gone.
local ours = redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1
if ours and redis.call('HGET', KEYS[1], 'token') == ARGV[2] then
    return redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return 0
