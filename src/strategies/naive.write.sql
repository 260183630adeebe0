-- strategies/naive.write.sql: writes the number that the program worked out, whatever stands there by now,
-- and records the order. Both or neither: a used key undoes the write.
-- $1 to $8 the order, $9 units left
with written as (
    update stock set units_left = $9 where sale_id = $4 returning sale_id
)
select record_order($1, $2, $3, sale_id, $5, $6, $7, $8) from written
