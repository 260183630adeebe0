-- strategies/fenced_take.claim.sql: reads what is left and claims the lock's token; no row: somebody newer
-- has looked already. Equal is fine, for a holder may ask twice.
-- $1 sale, $2 token
update stock set fence = $2 where sale_id = $1 and fence <= $2 returning units_left, fence
