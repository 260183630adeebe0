-- locks/lock_pg_row.lock.sql: waits until nobody else is inside; held until this transaction ends. $1 sale
select sale_id from lock_rows where sale_id = $1 for update
