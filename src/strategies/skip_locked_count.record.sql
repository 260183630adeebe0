-- strategies/skip_locked_count.record.sql: records the order; there is no counter to write.
-- $1 to $10 the order
select record_order($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
