-- pipeline/outcomes.sql: what has become of orders that were taken in Redis, whoever drained them; no row:
-- not drained yet. One statement, one snapshot: of an epoch that is over, an order without a row never gets
-- one.
-- $1 sale, $2 order ids
select s.epoch, o.id, o.word
from sales s
left join (
    select id, 'recorded' as word from orders where id = any ($2)
    union all
    select order_id, word from refusals where order_id = any ($2)
) o on true
where s.id = $1
