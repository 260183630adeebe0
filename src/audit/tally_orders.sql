-- audit/tally_orders.sql: the orders told yes, and (order id null) the keys whose outcome is unknown.
-- $1 sale, $2 keys, $3 order ids, $4 buyers, $5 quantities
insert into tally_orders (sale_id, key, order_id, buyer_id, quantity)
select $1, key, order_id, buyer_id, quantity
from unnest($2::text[], $3::uuid[], $4::text[], $5::bigint[]) as t (key, order_id, buyer_id, quantity)
