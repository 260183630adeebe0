-- locks/lock_redisson.release.lua: leave once, if it is still this owner who is inside; the last time
-- frees the lock and wakes a waiter. The answer is kept for a lease: asked again because it got lost, the
-- script says the same.
-- KEYS[1] the lock, KEYS[3] the channel, KEYS[4] the answer
-- ARGV[1] owner, ARGV[2] token, ARGV[3] this entry, ARGV[4] lease in ms
-- Without a token (the answer to the entry got lost) it leaves only if that entry was counted, as the last.
-- Returns how often the owner is inside still, or -1: it was not
local answered = redis.call('GET', KEYS[4])
if answered then
    return tonumber(answered)
end
local mark, value = 'token', ARGV[2]
if ARGV[2] == '' then
    mark, value = 'entry', ARGV[3]
end
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 or redis.call('HGET', KEYS[1], mark) ~= value then
    return -1
end
local depth = redis.call('HINCRBY', KEYS[1], ARGV[1], -1)
if depth == 0 then
    redis.call('DEL', KEYS[1])
    redis.call('PUBLISH', KEYS[3], '0')
end
redis.call('SET', KEYS[4], depth, 'PX', ARGV[4])
return depth
