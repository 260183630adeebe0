-- ledger/find.sql: the order of an idempotency key, if it was sold.
-- $1 caller, $2 key
select id, sale_id, key, buyer_id, quantity, state, retry_safe, fingerprint
from orders
where caller = $1 and key = $2
