-- strategies/serializable.read.sql: what is left in this transaction's snapshot.
-- $1 sale
select units_left from stock where sale_id = $1
