-- life/confirm.sql: a held order is confirmed, if its hold has not run out by the clock of this server. No
-- row: it was not held any more.
-- $1 order ids
select id from move_orders($1, 'confirmed')
