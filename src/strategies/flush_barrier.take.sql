-- strategies/flush_barrier.take.sql: check, take and record in one guarded statement, on a connection whose
-- commits are not flushed: the row is free again as soon as the commit can be seen.
-- $1 to $10 the order
with taken as (
    update stock set units_left = units_left - $6
    where sale_id = $4 and units_left >= $6
    returning sale_id
)
select record_order($1, $2, $3, sale_id, $5, $6, $7, $8, $9, $10) from taken
