-- locks/lock_pg_table.release.sql: leaves once, if it is still this owner who is inside; the last time
-- gives the lease back. No row back: it was not. The row stays, and with it the token.
-- $1 sale, $2 owner, and $3 token; or $4 the entry whose answer got lost
update lock_leases
set depth = depth - 1, expires_at = case when depth > 1 then expires_at else '-infinity' end
where sale_id = $1 and owner = $2 and (token = $3::bigint or entry = $4::uuid)
    and expires_at > clock_timestamp()
returning depth
