-- ledger/sales.sql: the newest sales.
-- $1 at most
select id, name, units, strategy, per_buyer_limit, epoch,
       to_char(opened_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as opened_at,
       to_char(opens_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as opens_at,
       to_char(closes_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as closes_at,
       (extract(epoch from opens_at - clock_timestamp()) * 1000)::bigint as opens_in_ms,
       (extract(epoch from closes_at - clock_timestamp()) * 1000)::bigint as closes_in_ms
from sales
order by opened_at desc
limit $1
