-- locks/lock_redisson.raise.lua: make every later token greater than a number; a greater counter
-- is left alone.
-- KEYS[1] the counter of tokens    ARGV[1] the number
if tonumber(redis.call('GET', KEYS[1]) or 0) < tonumber(ARGV[1]) then
    redis.call('SET', KEYS[1], ARGV[1])
end
return redis.status_reply('OK')
