-- pipeline/watched.sql: what the ledger says of the sales that a strategy of this room sells; the newest,
-- and not those that closed long ago.
-- $1 strategy
select s.id, s.epoch, s.units, k.units_left, k.returns
from sales s
join stock k on k.sale_id = s.id
where s.strategy = $1 and (s.closes_at is null or s.closes_at > clock_timestamp() - interval '1 day')
order by s.opened_at desc
limit 10000
