-- ledger/cart.sql: the orders of the cart of an idempotency key, as they were answered the first time.
-- $1 caller, $2 key
select o.id, o.sale_id, o.key, o.buyer_id, o.quantity, o.retry_safe, o.fingerprint, o.cart_id,
       case when o.expires_at is null then 'confirmed' else 'held' end as state,
       to_char(o.expires_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as expires_at
from orders o
join orders first on first.caller = $1 and first.key = $2
where o.id = first.id or o.cart_id = first.cart_id
order by o.sale_id
