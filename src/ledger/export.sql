-- ledger/export.sql: a page of a sale's ledger; ids are UUIDv7, so this is about the order of arrival.
-- $1 sale, $2 last order id of the page before
select id, key, buyer_id, quantity, state
from orders
where sale_id = $1 and id > $2
order by id
limit 1000
