-- strategies/optimistic.swap.sql: writes the worked-out number only on the version that it was worked out
-- from, and records the order. No row: somebody was faster.
-- $1 to $10 the order, $11 units that were left, $12 version that was read
with swapped as (
    update stock set units_left = $11::bigint - $6, version = version + 1
    where sale_id = $4 and version = $12
    returning sale_id
)
select record_order($1, $2, $3, sale_id, $5, $6, $7, $8, $9, $10) from swapped
