-- pipeline/drain.sql: a batch of orders that were taken in Redis is recorded. See drain() in migrations/.
-- $1 sale, $2 epoch, $3 callers, $4 keys, $5 order ids, $6 buyers, $7 quantities, $8 fingerprints,
-- $9 retry_safe, $10 holds in ms
select words, units_left, returns from drain($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
