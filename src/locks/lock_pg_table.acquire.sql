-- locks/lock_pg_table.acquire.sql: takes the lease if it is free or has run out; no row back: others have it.
-- clock_timestamp() and not now(), which stands still from the start of the transaction.
-- $1 sale, $2 owner, $3 lease in milliseconds
insert into lock_leases as l (sale_id, owner, token, expires_at)
values ($1, $2, 1, clock_timestamp() + $3::bigint * interval '1 millisecond')
on conflict (sale_id) do update
    set owner = excluded.owner,
        token = l.token + 1,
        expires_at = clock_timestamp() + $3::bigint * interval '1 millisecond'
    where l.expires_at <= clock_timestamp()
returning token
