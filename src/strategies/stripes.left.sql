-- strategies/stripes.left.sql: what all stripes have together, in one snapshot; while the sale is between two
-- strategies, what the counter says. $1 sale
select case when k.laid_out_for is null then k.units_left else (
    select coalesce(sum(s.units_left), 0)::bigint
    from stripes s where s.sale_id = k.sale_id and s.epoch = k.laid_out_for
) end
from stock k
where k.sale_id = $1
