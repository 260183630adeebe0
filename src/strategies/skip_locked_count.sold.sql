-- strategies/skip_locked_count.sold.sql: the orders so far, all of them. $1 sale
select coalesce(sum(quantity), 0)::bigint from orders where sale_id = $1 and state in ('held', 'confirmed')
