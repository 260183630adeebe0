-- strategies/fence_on_write_only.read.sql: what is left just now; the fence does not learn who has looked.
-- $1 sale
select units_left from stock where sale_id = $1
