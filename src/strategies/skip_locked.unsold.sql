-- strategies/skip_locked.unsold.sql: how many rows it would be.
-- $1 sale, $2 units of a sale that is only being opened
select coalesce(units_unsold($1), $2)
