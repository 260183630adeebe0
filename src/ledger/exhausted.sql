-- ledger/exhausted.sql: a sale of which nothing is left, and the marks of all keys that were sold, in one
-- snapshot; no row while something is left: by the counter, which says so at once, and by the orders, for
-- where units lie apart it says too much. A mark is the first eight bytes of SHA-256 of caller:key.
-- $1 sale, $2 orders at most: beyond that it is not worth the memory
select s.epoch, k.returns, sold.keys
from stock k
join sales s on s.id = k.sale_id
cross join lateral (
    select count(*) as orders,
           coalesce(string_agg(substr(sha256(o.name), 1, 8), ''), '') as keys
    from (
        select convert_to(caller || ':' || key, 'UTF8') as name
        from orders
        where sale_id = k.sale_id and retry_safe
        limit $2 + 1
    ) o
) sold
where k.sale_id = $1 and (k.units_left <= 0 or k.laid_out_for is not null)
  and units_unsold(k.sale_id) <= 0 and sold.orders <= $2
