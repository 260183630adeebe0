-- ledger/sale_insert.sql: a sale opens; written last, when its stock is there to be sold.
-- $1 id, $2 name, $3 units, $4 strategy, $5 per-buyer limit
insert into sales (id, name, units, strategy, per_buyer_limit)
values ($1, $2, $3, $4, $5)
returning to_char(opened_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as opened_at
