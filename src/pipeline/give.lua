-- pipeline/give.lua: a bucket gives units to another one. They leave its `left` and are noted here, under the
-- next number for that bucket, until they are known to have arrived; until then nothing else is given to it,
-- and whoever asks, for whatever reason, is told of the same note. So a gift is never lost and never doubled,
-- whoever dies.
-- KEYS[1] head of the giver
-- ARGV[1] epoch  [2] the other bucket  [3] units that it lacks
-- Returns {number, units}; {0, 0} if there is nothing to give, or Redis is of another epoch
local to = ARGV[2]
local head = redis.call('HMGET', KEYS[1], 'epoch', 'left', 'out:' .. to, 'sent:' .. to)
if head[1] ~= ARGV[1] then
    return { 0, 0 }
end
if head[3] then
    local number, units = string.match(head[3], '^(%d+) (%d+)$')
    return { tonumber(number), tonumber(units) }
end
local left, number = tonumber(head[2]), tonumber(head[4] or '0') + 1
-- Half of it, if that is more than what is lacking: the next buyer of that bucket need not ask again.
local units = math.min(left, math.max(tonumber(ARGV[3]), math.floor(left / 2)))
if units < 1 then
    return { 0, 0 }
end
redis.call('HSET', KEYS[1], 'sent:' .. to, number, 'out:' .. to, number .. ' ' .. units)
redis.call('HINCRBY', KEYS[1], 'left', -units)
redis.call('HINCRBY', KEYS[1], 'lent', units)
return { number, units }
