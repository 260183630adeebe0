-- strategies/fenced_take.write.sql: writes the worked-out number only if nobody newer has looked since the
-- claim, and records the order. No row: overtaken.
-- $1 to $10 the order, $11 units left, $12 token
with written as (
    update stock set units_left = $11 where sale_id = $4 and fence = $12 returning sale_id
)
select record_order($1, $2, $3, sale_id, $5, $6, $7, $8, $9, $10) from written
