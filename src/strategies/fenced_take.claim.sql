-- strategies/fenced_take.claim.sql: reads what is left and claims the lock's token; no row: this token or a
-- newer one has looked already. Not even an equal one may look twice: of two who hold the same number the
-- write could not tell which came later.
-- $1 sale, $2 token
update stock set fence = $2 where sale_id = $1 and fence < $2 returning units_left, fence
