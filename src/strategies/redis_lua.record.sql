-- strategies/redis_lua.record.sql: the order becomes durable; its units were taken in Redis.
-- $1 to $8 the order
select record_order($1, $2, $3, $4, $5, $6, $7, $8)
