-- stock.give_back.sql: units come back, or an operator changes them, and the counter moves in the same
-- statement; no row: nothing came back, it was done before. A plain sum is enough where a take subtracts, or
-- reads and writes under this row's lock. Version and fence are counted up for the others: who has read and
-- not written yet finds another one, and looks again instead of writing what it worked out from the old
-- number.
-- $1 to $6 what comes back, $7 token of the lock that is held around it, or null
with back as (select give_back($1, $2, $3, $4, $5, $6) as units)
update stock
set units_left = units_left + back.units, returns = returns + 1, version = version + 1,
    fence = case when $7::bigint > fence then $7 else fence + 1 end
from back
where sale_id = $1 and back.units <> 0
returning back.units
