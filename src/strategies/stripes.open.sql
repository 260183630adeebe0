-- strategies/stripes.open.sql: shares the units out evenly over 16 stripes; with fewer units some are empty.
-- $1 sale, $2 epoch, $3 units of a sale that is only being opened
insert into stripes (sale_id, epoch, no, units_left)
select $1, $2, no, units / 16 + (no < units % 16)::integer
from lay_out($1, $2, $3) as units, generate_series(0, 15) as no
where units is not null
