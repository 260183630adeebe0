-- pipeline/take.lua: check everything, then take and note it down, before Redis runs anything else.
-- A script and not MULTI: what is written depends on what is read.
-- KEYS[1] head (hash: epoch, left, applied, closing)  [2] keys (hash: caller:key -> fingerprint order-id)
--     [3] buyers (hash: buyer -> units)  [4] orders (stream, drained into the ledger)
-- ARGV[1] epoch  [2] quantity  [3] caller:key  [4] fingerprint  [5] order id  [6] buyer
--     [7] per-buyer limit, 0 none  [8] 1 if the key is the client's own  [9] the order as it is noted down
-- Returns {word, order id}: taken · seen (this key took before, under that order id) · sold_out · reused
-- (same key, other body) · limit · closed (something is missing: never zero, never seeded here) · closing
-- (another strategy takes over) · behind, ahead (Redis is of an earlier or a later epoch than the caller)
local head = redis.call('HMGET', KEYS[1], 'epoch', 'left', 'closing')
local epoch, left = tonumber(head[1]), tonumber(head[2])
if not epoch then
    return { 'closed', '' }
end
if epoch ~= tonumber(ARGV[1]) then
    return { epoch < tonumber(ARGV[1]) and 'behind' or 'ahead', '' }
end
-- An epoch begins with all of them; where one is gone it was lost or evicted, and what it knew with it.
if redis.call('EXISTS', KEYS[2], KEYS[3], KEYS[4]) < 3 then
    return { 'closed', '' }
end
local seen = redis.call('HGET', KEYS[2], ARGV[3])
if seen then
    local fingerprint, order = string.match(seen, '^(%x+) (.+)$')
    if fingerprint ~= ARGV[4] then
        return { 'reused', '' }
    end
    return { 'seen', order }
end
-- Who closes it may die before it is handed over; so it is closed until then and no longer.
if head[3] and tonumber(redis.call('TIME')[1]) < tonumber(head[3]) then
    return { 'closing', '' }
end
local quantity, limit = tonumber(ARGV[2]), tonumber(ARGV[7])
if left < quantity then
    return { 'sold_out', '' }
end
if limit > 0 then
    local has = tonumber(redis.call('HGET', KEYS[3], ARGV[6]) or '0')
    if has + quantity > limit then
        return { 'limit', '' }
    end
    redis.call('HINCRBY', KEYS[3], ARGV[6], quantity)
end
redis.call('HINCRBY', KEYS[1], 'left', -quantity)
if ARGV[8] == '1' then
    redis.call('HSET', KEYS[2], ARGV[3], ARGV[4] .. ' ' .. ARGV[5])
end
redis.call('XADD', KEYS[4], '*', 'orders', '[' .. ARGV[9] .. ']')
return { 'taken', ARGV[5] }
