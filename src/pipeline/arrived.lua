-- pipeline/arrived.lua: what a bucket gave has arrived; it may forget the note and give again.
-- KEYS[1] head of the giver
-- ARGV[1] epoch  [2] the other bucket  [3] number
-- Returns 1, or 0 if that note is not there
local head = redis.call('HMGET', KEYS[1], 'epoch', 'out:' .. ARGV[2])
if head[1] ~= ARGV[1] or string.match(head[2] or '', '^%d+') ~= ARGV[3] then
    return 0
end
return redis.call('HDEL', KEYS[1], 'out:' .. ARGV[2])
