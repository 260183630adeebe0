-- audit/offenders.sql: orders that a reader should look at, at most 100 of each kind. $1 sale
with ledger as (
    select key, id, buyer_id, quantity,
           sum(quantity) over (order by recorded_at, id) as sold_so_far,
           sum(quantity) over (partition by buyer_id order by recorded_at, id) as buyer_so_far,
           row_number() over (partition by key order by recorded_at, id) as nth_of_key
    from orders
    where sale_id = $1 and state in ('held', 'confirmed')
),
tallied as (select from tallies where sale_id = $1)
(select 'oversold' as kind, key, id, buyer_id, quantity from ledger
    where sold_so_far > (select units from sales where id = $1)
        + (select coalesce(sum(delta), 0) from stock_changes where sale_id = $1)
    order by sold_so_far limit 100)
union all
(select 'over_limit', key, id, buyer_id, quantity from ledger
    where buyer_so_far > (select per_buyer_limit from sales where id = $1) order by buyer_so_far limit 100)
union all
(select 'duplicate', key, id, buyer_id, quantity from ledger where nth_of_key > 1 limit 100)
union all
(select 'phantom', key, id, buyer_id, quantity from ledger l
    where exists (select from tallied)
      and not exists (select from tally_orders t where t.sale_id = $1 and t.key = l.key) limit 100)
union all
-- No join: after a rush the planner believes that there is a handful of each, and compares each with each.
(select 'lost', key, id, buyer_id, quantity
    from (select 0 as side, key, order_id as id, buyer_id, quantity from tally_orders
          where sale_id = $1 and order_id is not null
          union all
          select 1, key, id, buyer_id, quantity from ledger) k
    group by key, id, buyer_id, quantity having max(side) = 0 limit 100)
