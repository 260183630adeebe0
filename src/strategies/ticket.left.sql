-- strategies/ticket.left.sql: numbers that are good and not drawn yet; while the sale is between two
-- strategies, what the counter says. $1 sale
select case when k.laid_out_for is null then k.units_left else (
    select greatest(t.ticket_limit - drawn(t.sequence), 0)
    from tickets t where t.sale_id = k.sale_id and t.epoch = k.laid_out_for
) end
from stock k
where k.sale_id = $1
