-- stock.open.sql: the units of a sale are put on sale. $1 sale, $2 units
insert into stock (sale_id, units_left) values ($1, $2) on conflict (sale_id) do nothing
