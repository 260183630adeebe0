-- pipeline/drain_many.sql: orders of several sales that were taken in Redis are recorded, or none of them.
-- See drain_many() in migrations/.
-- $1 callers, $2 keys, $3 order ids, $4 sales, $5 buyers, $6 quantities, $7 fingerprints, $8 retry_safe,
-- $9 holds in ms, $10 epochs
select sale_id, units_left, returns from drain_many($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
