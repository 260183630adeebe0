-- strategies/fenced_take.mint.sql: reads what is left and mints a token, for a lock that has none.
-- $1 sale
update stock set fence = fence + 1 where sale_id = $1 returning units_left, fence
