-- stock.left.sql: what the counter says. $1 sale
select units_left from stock where sale_id = $1
