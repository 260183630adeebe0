-- strategies/lock_released_before_commit.write.sql: writes the worked-out number and records the order. It
-- waits for the row lock of a holder that has not committed, and then overwrites what that one wrote.
-- $1 to $10 the order, $11 units left
with written as (
    update stock set units_left = $11 where sale_id = $4 returning sale_id
)
select record_order($1, $2, $3, sale_id, $5, $6, $7, $8, $9, $10) from written
