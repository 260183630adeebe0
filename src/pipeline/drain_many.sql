-- pipeline/drain_many.sql: orders of several sales that were taken in Redis are recorded, or none of them.
-- See drain_many() in migrations/.
-- $1 sales, $2 epochs, $3 callers, $4 keys, $5 order ids, $6 buyers, $7 quantities, $8 fingerprints,
-- $9 retry_safe, $10 holds in ms
select sale_id, units_left, returns from drain_many($3, $4, $5, $1, $6, $7, $8, $9, $10, $2)
