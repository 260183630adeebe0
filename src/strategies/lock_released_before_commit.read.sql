-- strategies/lock_released_before_commit.read.sql: what was committed last; a write of the holder before us
-- that is not committed yet is not seen.
-- $1 sale
select units_left from stock where sale_id = $1
