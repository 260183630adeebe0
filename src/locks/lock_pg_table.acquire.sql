-- locks/lock_pg_table.acquire.sql: takes the lease if it is free or has run out; no row back: others have it.
-- It looks before it leaps: `on conflict do update` locks the row even where its condition fails, and the
-- holder's release would have to queue behind everybody who only asks.
-- clock_timestamp() and not now(), which stands still from the start of the transaction.
-- $1 sale, $2 owner, $3 lease in milliseconds
insert into lock_leases as l (sale_id, owner, token, expires_at)
select $1::uuid, $2::uuid, 1, clock_timestamp() + $3::bigint * interval '1 millisecond'
where not exists (select from lock_leases where sale_id = $1 and expires_at > clock_timestamp())
on conflict (sale_id) do update
    set owner = excluded.owner,
        token = l.token + 1,
        expires_at = clock_timestamp() + $3::bigint * interval '1 millisecond'
    where l.expires_at <= clock_timestamp()
returning token
