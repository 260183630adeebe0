-- strategies/row_lock.lock.sql: what is left, and nobody changes it until this transaction ends.
-- $1 sale
select units_left from stock where sale_id = $1 for update
