-- strategies/fence_on_write_only.write.sql: writes the worked-out number unless a newer token has written,
-- and records the order. No row: overtaken. Who was overtaken and writes first passes: nothing is stored yet.
-- $1 to $8 the order, $9 units left, $10 token
with written as (
    update stock set units_left = $9, fence = $10 where sale_id = $4 and fence <= $10 returning sale_id
)
select record_order($1, $2, $3, sale_id, $5, $6, $7, $8) from written
