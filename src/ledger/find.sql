-- ledger/find.sql: the order of an idempotency key as it was answered the first time, if it was sold: a retry
-- gets the same bytes, whatever has become of the order since.
-- $1 caller, $2 key
select id, sale_id, key, buyer_id, quantity, retry_safe, fingerprint,
       case when expires_at is null then 'confirmed' else 'held' end as state,
       to_char(expires_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as expires_at
from orders
where caller = $1 and key = $2
