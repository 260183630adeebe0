-- strategies/skip_locked.take.sql: takes rows that nobody holds, from $11 on, and records the order. What is
-- taken is gone with the commit.
-- $1 to $10 the order, $11 a unit to begin at
select taken,
       case taken when 'all' then record_order($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) end
from take_units($4, $10, $11, $6) as taken
