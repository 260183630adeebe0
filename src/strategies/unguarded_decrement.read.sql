-- strategies/unguarded_decrement.read.sql: what is left just now; no lock.
-- $1 sale
select units_left from stock where sale_id = $1
