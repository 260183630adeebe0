-- pipeline/back.lua: units come back that the ledger has numbered, each number once and none left out:
-- whoever comes twice, or too early, changes nothing. There is no other way by which units come back to
-- Redis.
-- KEYS[1] head  [2] keys  [3] buyers
-- ARGV[1] epoch  [2] number  [3] units (below zero: taken off)  [4] how many buyers follow, as buyer, units;
--     then marks to be forgotten, as caller:key order-id
-- Returns the last number applied; -1 if Redis is of another epoch
local head = redis.call('HMGET', KEYS[1], 'epoch', 'applied')
if head[1] ~= ARGV[1] then
    return -1
end
local applied = tonumber(head[2])
if tonumber(ARGV[2]) ~= applied + 1 then
    return applied
end
redis.call('HINCRBY', KEYS[1], 'left', ARGV[3])
redis.call('HSET', KEYS[1], 'applied', ARGV[2])
local last = 4 + 2 * tonumber(ARGV[4])
for i = 5, last, 2 do
    redis.call('HINCRBY', KEYS[3], ARGV[i], -tonumber(ARGV[i + 1]))
end
for i = last + 1, #ARGV do
    local mark, order = string.match(ARGV[i], '^(.+) (%S+)$')
    local seen = redis.call('HGET', KEYS[2], mark)
    -- The key may have taken again meanwhile, under another order: that one stays.
    if seen and string.sub(seen, -#order) == order then
        redis.call('HDEL', KEYS[2], mark)
    end
end
return tonumber(ARGV[2])
