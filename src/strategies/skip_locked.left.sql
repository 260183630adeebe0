-- strategies/skip_locked.left.sql: how many rows there are; while the sale is between two strategies, what
-- the counter says. $1 sale
select case when k.laid_out_for is null then k.units_left else (
    select count(*) from units u where u.sale_id = k.sale_id and u.epoch = k.laid_out_for
) end
from stock k
where k.sale_id = $1
