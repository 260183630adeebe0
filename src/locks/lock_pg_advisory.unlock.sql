-- locks/lock_pg_advisory.unlock.sql: leaves; false if this session was not inside.
-- $1 key
select pg_advisory_unlock($1)
