-- strategies/fenced_take.stored.sql: the newest token that has claimed this stock. $1 sale
select fence from stock where sale_id = $1
