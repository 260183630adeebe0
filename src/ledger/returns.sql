-- ledger/returns.sql: how often units of a sale have come back, and its epoch. $1 sale
select s.epoch, k.returns
from stock k
join sales s on s.id = k.sale_id
where k.sale_id = $1
