-- locks/lock_redisson.acquire.lua: go in, if nobody else is inside. Who is inside already goes
-- in once more, under the same token. Asked again because the answer got lost, the entry is counted once.
-- KEYS[1] the lock, KEYS[2] the counter of tokens    ARGV[1] owner, ARGV[3] this entry, ARGV[4] lease in ms
-- Returns {1, token, depth}, or {0, what is left of the others' lease in ms, 0}
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
    if redis.call('EXISTS', KEYS[1]) == 1 then
        return {0, redis.call('PTTL', KEYS[1]), 0}
    end
    redis.call('HSET', KEYS[1], 'token', redis.call('INCR', KEYS[2]))
end
if redis.call('HGET', KEYS[1], 'entry') ~= ARGV[3] then
    redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
    redis.call('HSET', KEYS[1], 'entry', ARGV[3])
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
-- A number of Lua is a double: tokens are exact below 2^53.
local inside = redis.call('HMGET', KEYS[1], 'token', ARGV[1])
return {1, tonumber(inside[1]), tonumber(inside[2])}
