-- ledger/raise_epoch.sql: ends an epoch of a sale, perhaps with another strategy.
-- $1 sale, $2 the epoch that ends, $3 another strategy or null, $4 the new epoch is at least that
select raise_epoch($1, $2, $3, $4)
