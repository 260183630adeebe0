-- strategies/skip_locked.open.sql: a row for each unit.
-- $1 sale, $2 epoch, $3 units of a sale that is only being opened
insert into units (sale_id, epoch, no)
select $1, $2, no
from lay_out($1, $2, $3) as units, generate_series(0, units - 1) as no
