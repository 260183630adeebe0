-- strategies/skip_locked_count.count.sql: locks the orders so far and adds them up, without those that
-- somebody else has locked to add them up. (The inner select, because an aggregate takes no locks.)
-- $1 sale
select coalesce(sum(quantity), 0)::bigint
from (
    select quantity from orders
    where sale_id = $1 and state in ('held', 'confirmed')
    for update skip locked
) as counted
