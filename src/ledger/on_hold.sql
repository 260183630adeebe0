-- ledger/on_hold.sql: units on hold of some sales, and those of them whose hold ends within a minute or has
-- ended and was not swept yet. Reads open holds only, however many orders there are. $1 sales
select h.sale_id,
       sum(o.quantity)::bigint as units,
       coalesce(sum(o.quantity) filter (where h.expires_at <= clock_timestamp() + interval '1 minute'),
                0)::bigint as expiring
from holds h
join orders o on o.id = h.order_id
where h.sale_id = any ($1::uuid[])
group by h.sale_id
