-- ledger/order.sql: one order, as it is now, and whose it is.
-- $1 caller, null for an operator, who sees all; $2 order id
select caller, id, sale_id, key, buyer_id, quantity, state, retry_safe,
       to_char(expires_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as expires_at,
       to_char(recorded_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as recorded_at
from orders
where id = $2 and ($1::text is null or caller = $1)
