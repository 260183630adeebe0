-- strategies/redis_lua.lua: check everything, then take, before Redis runs anything else.
-- A script and not MULTI: what is written depends on what is read.
-- KEYS[1] stock (number)  [2] keys (hash: key -> fingerprint order-id)  [3] buyers (hash: buyer -> units)
-- ARGV[1] quantity  [2] key  [3] fingerprint  [4] order id  [5] buyer  [6] per-buyer limit, 0 none
-- Returns {word, order id}: taken (also for a retry, with the first order id) · sold_out · reused (same key,
-- other body) · limit · closed (no stock key: never zero, never seeded here)
local stock = redis.call('GET', KEYS[1])
if not stock then
    return { 'closed', '' }
end
local seen = redis.call('HGET', KEYS[2], ARGV[2])
if seen then
    local fingerprint, order = string.match(seen, '^(%x+) (.+)$')
    if fingerprint ~= ARGV[3] then
        return { 'reused', '' }
    end
    return { 'taken', order }
end
local quantity, limit = tonumber(ARGV[1]), tonumber(ARGV[6])
if tonumber(stock) < quantity then
    return { 'sold_out', '' }
end
if limit > 0 then
    local has = tonumber(redis.call('HGET', KEYS[3], ARGV[5]) or '0')
    if has + quantity > limit then
        return { 'limit', '' }
    end
    redis.call('HINCRBY', KEYS[3], ARGV[5], quantity)
end
redis.call('DECRBY', KEYS[1], quantity)
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3] .. ' ' .. ARGV[4])
return { 'taken', ARGV[4] }
