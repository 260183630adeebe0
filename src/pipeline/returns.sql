-- pipeline/returns.sql: units that came back and that Redis has not been told of, in their order.
-- $1 sale, $2 the last that it was told of
select seq, units, buyers, buyer_units, forgotten
from returns
where sale_id = $1 and seq > $2
order by seq
limit 1000
