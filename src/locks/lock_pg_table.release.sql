-- locks/lock_pg_table.release.sql: gives the lease back, if it is still this owner's. The row stays, and with
-- it the token.
-- $1 sale, $2 owner
update lock_leases set expires_at = '-infinity'
where sale_id = $1 and owner = $2 and expires_at > clock_timestamp()
