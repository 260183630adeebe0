-- locks/lock_pg_table.renew.sql: begins the lease anew, if it is still this owner's; no row written:
-- it is over.
-- $1 sale, $2 owner, $3 token, $4 lease in milliseconds
update lock_leases set expires_at = clock_timestamp() + $4::bigint * interval '1 millisecond'
where sale_id = $1 and owner = $2 and token = $3 and expires_at > clock_timestamp()
