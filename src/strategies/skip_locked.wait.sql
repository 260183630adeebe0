-- strategies/skip_locked.wait.sql: waits for rows that others hold, takes those that become free, and records
-- the order. No row: too few became free.
-- $1 to $10 the order
select record_order($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
where wait_for_units($4, $10, $6)
