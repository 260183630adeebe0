-- strategies/serializable.write.sql: writes the worked-out number and records the order; 40001 if the row
-- has changed since this transaction's snapshot.
-- $1 to $10 the order, $11 units left
with written as (
    update stock set units_left = $11 where sale_id = $4 returning sale_id
)
select record_order($1, $2, $3, sale_id, $5, $6, $7, $8, $9, $10) from written
