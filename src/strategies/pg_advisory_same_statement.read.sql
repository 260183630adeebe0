-- strategies/pg_advisory_same_statement.read.sql: waits for the lock and reads, with a snapshot that
-- was taken before the wait.
-- $1 sale, $2 key
select units_left
from stock, (select pg_advisory_xact_lock($2)) as locked
where sale_id = $1
