-- pipeline/publish.lua: an epoch begins in Redis. Its keys and buyers are filled already; the head comes
-- last, for without it nothing is sold. Never backwards: who was slow finds a later epoch here and changes
-- nothing.
-- KEYS[1] head  [2] orders  [3] keys  [4] buyers, these three of the new epoch
-- ARGV[1] epoch  [2] units left  [3] returns applied  [4] group
-- Returns the epoch that was there before, 0 if none, -1 if nothing was changed
local before = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
if before >= tonumber(ARGV[1]) then
    return -1
end
-- An entry of nobody in each, so that they exist from the beginning: a key that is gone is known to be lost.
redis.call('HSET', KEYS[3], '', '')
redis.call('HSET', KEYS[4], '', '0')
redis.pcall('XGROUP', 'CREATE', KEYS[2], ARGV[4], '0', 'MKSTREAM')
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'left', ARGV[2], 'applied', ARGV[3])
return before
