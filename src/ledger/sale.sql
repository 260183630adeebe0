-- ledger/sale.sql: one sale.
-- $1 id
select id, name, units, strategy, per_buyer_limit,
       to_char(opened_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as opened_at
from sales
where id = $1
