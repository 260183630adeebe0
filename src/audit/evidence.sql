-- audit/evidence.sql: sums of one sale, no judgement. $1 sale
-- The clients' side is null where no tally was left. Nothing here is a join of two lists: after a rush the
-- planner believes that a sale has a handful of orders, and would compare each with each.
with sides as (
    -- What the clients were told (side 0) and what the ledger has (side 1).
    select 0 as side, key, order_id as id, buyer_id, quantity from tally_orders
    where sale_id = $1 and order_id is not null
    union all
    select 1, key, id, buyer_id, quantity from orders where sale_id = $1 and state in ('held', 'confirmed')
)
select
    s.units as opened,
    (select coalesce(sum(delta), 0)::bigint from stock_changes where sale_id = $1) as changed,
    l.sold, l.orders,
    (select coalesce(sum(n - 1), 0)::bigint
     from (select count(*) as n from orders where sale_id = $1 group by key) k) as duplicates,
    case when s.per_buyer_limit is null then 0 else (
        select coalesce(sum(greatest(units - s.per_buyer_limit, 0)), 0)::bigint
        from (select sum(quantity) as units from orders
              where sale_id = $1 and state in ('held', 'confirmed') group by buyer_id) b
    ) end as over_limit,
    -- An order's own row is its first movement (see the view history).
    (l.back - (select coalesce(sum(delta), 0) from movements
               where sale_id = $1 and order_id is not null and kind not in ('sold', 'held')))::bigint
        as unbalanced,
    told.units as told_yes,
    case when t.sale_id is null then 0 else (
        select coalesce(sum(n), 0)::bigint from (
            select count(*) as n from sides group by key, id, buyer_id, quantity having max(side) = 0
        ) k
    ) end as lost,
    case when t.sale_id is null then l.orders else (
        select coalesce(sum(n), 0)::bigint from (
            select count(*) filter (where side = 1) as n from (
                select side, key from sides
                union all
                select 0, key from tally_orders where sale_id = $1 and order_id is null
            ) k group by key having min(side) = 1
        ) k
    ) end as phantom,
    (select count(distinct key) from tally_orders where sale_id = $1 and order_id is null) as unknown_keys,
    told.duplicates as told_duplicates,
    t.attempts, t.sold as answers_sold, t.sold_out, t.contended, t.rejected, t.error, t.unknown,
    t.peak_in_flight, t.demand_units, t.sold_out_quantity_min
from sales s
left join tallies t on t.sale_id = s.id
cross join lateral (
    select coalesce(sum(quantity) filter (where state in ('held', 'confirmed')), 0)::bigint as sold,
           count(*) filter (where state in ('held', 'confirmed')) as orders,
           coalesce(sum(quantity) filter (where state not in ('held', 'confirmed')), 0) as back
    from orders where sale_id = $1
) l
cross join lateral (
    select coalesce(sum(quantity), 0)::bigint as units, coalesce(sum(n - 1), 0)::bigint as duplicates
    from (select min(quantity) as quantity, count(*) as n from tally_orders
          where sale_id = $1 and order_id is not null group by key) k
) told
where s.id = $1
