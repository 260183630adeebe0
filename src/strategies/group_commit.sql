-- strategies/group_commit.sql: a batch of orders is decided, recorded and taken from the stock, each as if it
-- had come alone. See record_batch() in migrations/.
-- $1 callers, $2 keys, $3 order ids, $4 sales, $5 buyers, $6 quantities, $7 fingerprints, $8 retry_safe,
-- $9 holds in ms, $10 epochs
select record_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
