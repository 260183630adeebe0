-- strategies/lock_released_before_commit.unlock.sql: leaves, one statement too early. $1 key
select pg_advisory_unlock($1)
