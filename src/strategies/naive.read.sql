-- strategies/naive.read.sql: what is left just now; no lock, so it is history when it arrives.
-- $1 sale
select units_left from stock where sale_id = $1
