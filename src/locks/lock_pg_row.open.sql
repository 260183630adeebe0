-- locks/lock_pg_row.open.sql: makes the row that is there to be locked. $1 sale
insert into lock_rows (sale_id) values ($1) on conflict (sale_id) do nothing
