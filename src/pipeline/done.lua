-- pipeline/done.lua: these orders are recorded, or refused for good; the stream forgets them.
-- KEYS[1] head  [2] orders  ARGV[1] group  [2…] entries
-- Returns {epoch, left, applied}: to be held against the ledger, which was read before
redis.call('XACK', KEYS[2], unpack(ARGV))
redis.call('XDEL', KEYS[2], unpack(ARGV, 2))
return redis.call('HMGET', KEYS[1], 'epoch', 'left', 'applied')
