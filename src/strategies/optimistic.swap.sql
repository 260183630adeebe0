-- strategies/optimistic.swap.sql: writes the worked-out number only on the version that it was worked out
-- from, and records the order. No row: somebody was faster.
-- $1 to $8 the order, $9 units that were left, $10 version that was read
with swapped as (
    update stock set units_left = $9::bigint - $6, version = version + 1
    where sale_id = $4 and version = $10
    returning sale_id
)
select record_order($1, $2, $3, sale_id, $5, $6, $7, $8) from swapped
