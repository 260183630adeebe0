-- strategies/row_lock.take.sql: takes the units under the lock of row_lock.lock.sql and records the order.
-- $1 to $10 the order
with taken as (
    update stock set units_left = units_left - $6 where sale_id = $4 returning sale_id
)
select record_order($1, $2, $3, sale_id, $5, $6, $7, $8, $9, $10) from taken
