-- strategies/lock_released_before_commit.lock.sql: waits until nobody else is inside. $1 key
select pg_advisory_lock($1)
