-- audit/evidence.sql: sums of one sale, no judgement. $1 sale
-- The clients' side is null where no tally was left.
with ledger as (
    select key, id, buyer_id, quantity, state in ('held', 'confirmed') as has_units
    from orders
    where sale_id = $1
),
buyers as (
    select buyer_id, sum(quantity) as units from ledger where has_units group by buyer_id
),
told as (
    select key, order_id, buyer_id, quantity from tally_orders where sale_id = $1
),
told_keys as (
    select key, min(quantity) as quantity from told where order_id is not null group by key
)
select
    s.units as opened,
    (select coalesce(sum(delta), 0)::bigint from stock_changes where sale_id = $1) as changed,
    (select coalesce(sum(quantity), 0)::bigint from ledger where has_units) as sold,
    (select count(*) from ledger where has_units) as orders,
    (select count(*) - count(distinct key) from ledger) as duplicates,
    (select coalesce(sum(greatest(units - s.per_buyer_limit, 0)), 0)::bigint from buyers) as over_limit,
    -- An order's own row is its first movement (see the view history).
    ((select coalesce(sum(quantity), 0) from ledger where not has_units)
        - (select coalesce(sum(delta), 0) from movements
           where sale_id = $1 and order_id is not null and kind not in ('sold', 'held')))::bigint
        as unbalanced,
    (select coalesce(sum(quantity), 0)::bigint from told_keys) as told_yes,
    (select count(*) from told
        where order_id is not null
          and not exists (select from ledger l
                          where l.has_units and l.key = told.key and l.id = told.order_id
                            and l.buyer_id = told.buyer_id and l.quantity = told.quantity)) as lost,
    (select count(*) from ledger l
        where l.has_units and not exists (select from told where told.key = l.key)) as phantom,
    (select count(distinct key) from told where order_id is null) as unknown_keys,
    (select count(*) from told where order_id is not null) - (select count(*) from told_keys)
        as told_duplicates,
    t.attempts, t.sold as answers_sold, t.sold_out, t.contended, t.rejected, t.error, t.unknown,
    t.peak_in_flight, t.demand_units, t.sold_out_quantity_min
from sales s
left join tallies t on t.sale_id = s.id
where s.id = $1
