-- life/due.sql: holds that ran out, claimed by one sweeper for some seconds: should it die, another one
-- takes them. Who is at one just now (a sweeper, a buyer who confirms at the last moment) keeps it.
-- $1 at most
with due as (
    select order_id
    from holds
    where expires_at <= clock_timestamp() and claimed_until <= clock_timestamp()
    order by expires_at
    limit $1
    for update skip locked
)
update holds h
set claimed_until = clock_timestamp() + interval '10 seconds'
from due
where h.order_id = due.order_id
returning h.order_id, h.sale_id
