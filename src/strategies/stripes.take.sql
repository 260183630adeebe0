-- strategies/stripes.take.sql: takes from the stripe of the buyer's name, or the next one that has enough
-- and that nobody holds, and records the order. What is taken stays locked until the commit.
-- $1 to $10 the order
select taken,
       case taken when 'all' then record_order($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) end
from take_stripes($4, $10, hashtext($5) & 15, $6) as taken
