-- ledger/sales.sql: the newest sales.
-- $1 at most
select id, name, units, strategy, per_buyer_limit,
       to_char(opened_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as opened_at
from sales
order by opened_at desc
limit $1
