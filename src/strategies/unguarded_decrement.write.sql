-- strategies/unguarded_decrement.write.sql: subtracts without looking, and records the order.
-- The row is locked from here to the end of the statement, too late for the check.
-- $1 to $10 the order
with written as (
    update stock set units_left = units_left - $6 where sale_id = $4 returning sale_id
)
select record_order($1, $2, $3, sale_id, $5, $6, $7, $8, $9, $10) from written
