-- pipeline/seed_keys.sql: every key that was sold, for Redis to remember. $1 sale
select caller, key, id, fingerprint, buyer_id
from orders
where sale_id = $1 and retry_safe
