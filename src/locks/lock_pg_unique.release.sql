-- locks/lock_pg_unique.release.sql: leaves, if it is this owner who is inside.
-- $1 sale, $2 owner
delete from lock_uniques where sale_id = $1 and owner = $2
