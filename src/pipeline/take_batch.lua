-- pipeline/take_batch.lua: take.lua for many orders that wait together. Each gets, in their sequence, the
-- answer that it would get alone; what they share is read once, written once and noted down in one entry.
-- KEYS[1…4] as in take.lua: head, keys, buyers, orders
-- ARGV[1] epoch  [2] per-buyer limit, 0 none  [3…] six for each order: quantity · caller:key ·
--     fingerprint order-id · buyer · 1 if the key is the client's own · the order as it is noted down
-- Returns a word for each, those of take.lua; after `seen` the order id
local words, count, mine = {}, (#ARGV - 2) / 6, tonumber(ARGV[1])
local head = redis.call('HMGET', KEYS[1], 'epoch', 'left', 'closing')
local epoch, left = tonumber(head[1]), tonumber(head[2])
local shut = not epoch and 'closed' or epoch < mine and 'behind' or epoch > mine and 'ahead'
    or redis.call('EXISTS', KEYS[2], KEYS[3], KEYS[4]) < 3 and 'closed'
if shut then
    for i = 1, count do words[i] = shut end
    return words
end
local closing = head[3] and tonumber(redis.call('TIME')[1]) < tonumber(head[3])
local limit, marks, buyers = tonumber(ARGV[2]), {}, {}
for i = 1, count do
    marks[i], buyers[i] = ARGV[6 * i - 2], ARGV[6 * i]
end
-- As they stood before; what the orders of this batch change is kept beside it.
local seen = redis.call('HMGET', KEYS[2], unpack(marks))
local units = limit > 0 and redis.call('HMGET', KEYS[3], unpack(buyers)) or {}
local noted, has, orders, sum = {}, {}, {}, 0
for i = 1, count do
    local quantity, mark, buyer = tonumber(ARGV[6 * i - 3]), marks[i], buyers[i]
    local print, first = string.match(noted[mark] or seen[i] or '', '^(%x+) (.+)$')
    local had = has[buyer] or tonumber(units[i] or '0')
    if first then
        words[i] = string.match(ARGV[6 * i - 1], '^%x+') == print and 'seen ' .. first or 'reused'
    elseif closing then
        words[i] = 'closing'
    elseif left - sum < quantity then
        words[i] = 'sold_out'
    elseif limit > 0 and had + quantity > limit then
        words[i] = 'limit'
    else
        words[i], sum, has[buyer] = 'taken', sum + quantity, had + quantity
        orders[#orders + 1] = ARGV[6 * i + 2]
        if ARGV[6 * i + 1] == '1' then noted[mark] = ARGV[6 * i - 1] end
    end
end
local function set(key, fields)
    local flat = {}
    for field, value in pairs(fields) do
        flat[#flat + 1], flat[#flat + 2] = field, value
    end
    if flat[1] then redis.call('HSET', key, unpack(flat)) end
end
if sum > 0 then
    redis.call('HINCRBY', KEYS[1], 'left', -sum)
    set(KEYS[2], noted)
    set(KEYS[3], limit > 0 and has or {})
    redis.call('XADD', KEYS[4], '*', 'orders', '[' .. table.concat(orders, ',') .. ']')
end
return words
