-- strategies/skip_locked.give_back.sql: units come back, or are changed: rows are added, or free ones go.
-- Nobody takes meanwhile. $1 to $6 what comes back
select put_units($1, $2, give_back_apart($1, $2, $3, $4, $5, $6))
