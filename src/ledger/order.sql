-- ledger/order.sql: one order of one caller.
-- $1 caller, $2 order id
select id, sale_id, key, buyer_id, quantity, state, retry_safe,
       to_char(recorded_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as recorded_at
from orders
where caller = $1 and id = $2
