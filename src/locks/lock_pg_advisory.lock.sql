-- locks/lock_pg_advisory.lock.sql: waits until nobody else is inside; a statement of its own, so that what
-- is read afterwards is read with a snapshot younger than the wait.
-- $1 key
select pg_advisory_lock($1)
