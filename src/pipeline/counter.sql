-- pipeline/counter.sql: what the ledger's counter says, and how often units have come back. $1 sale
select units_left, returns from stock where sale_id = $1
