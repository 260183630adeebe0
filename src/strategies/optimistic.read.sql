-- strategies/optimistic.read.sql: what is left, and which version says so; no lock.
-- $1 sale
select units_left, version from stock where sale_id = $1
