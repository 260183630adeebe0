-- ledger/sale_insert.sql: a sale is put on sale; written last, when its stock is there to be sold.
-- $1 id, $2 name, $3 units, $4 strategy, $5 per-buyer limit, $6 opens at, $7 closes at
insert into sales (id, name, units, strategy, per_buyer_limit, opens_at, closes_at)
values ($1, $2, $3, $4, $5, $6::text::timestamptz, $7::text::timestamptz)
returning to_char(opened_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as opened_at,
       to_char(opens_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as opens_at,
       to_char(closes_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as closes_at,
       (extract(epoch from opens_at - clock_timestamp()) * 1000)::bigint as opens_in_ms,
       (extract(epoch from closes_at - clock_timestamp()) * 1000)::bigint as closes_in_ms
