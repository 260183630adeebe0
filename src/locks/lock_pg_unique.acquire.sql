-- locks/lock_pg_unique.acquire.sql: one insert wins; no row written: others are inside.
-- $1 sale, $2 owner
insert into lock_uniques (sale_id, owner) values ($1, $2) on conflict (sale_id) do nothing
