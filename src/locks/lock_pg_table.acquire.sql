-- locks/lock_pg_table.acquire.sql: takes the lease if it is free, has run out, or is this owner's already
-- (then it is inside once more, under the same token); no row back: others have it.
-- It looks before it leaps: `on conflict do update` locks the row even where its condition fails, and the
-- holder's release would have to queue behind everybody who only asks.
-- clock_timestamp() and not now(), which stands still from the start of the transaction.
-- $1 sale, $2 owner, $3 lease in milliseconds, $4 this entry
insert into lock_leases as l (sale_id, owner, token, depth, entry, expires_at)
select $1::uuid, $2::uuid, 1, 1, $4::uuid, clock_timestamp() + $3::bigint * interval '1 millisecond'
where not exists (
    select from lock_leases where sale_id = $1 and owner <> $2 and expires_at > clock_timestamp())
on conflict (sale_id) do update
    set owner = excluded.owner,
        token = case when l.owner = $2 and l.expires_at > clock_timestamp() then l.token else l.token + 1 end,
        depth = case when l.owner = $2 and l.expires_at > clock_timestamp() then l.depth + 1 else 1 end,
        entry = excluded.entry,
        expires_at = clock_timestamp() + $3::bigint * interval '1 millisecond'
    where l.owner = $2 or l.expires_at <= clock_timestamp()
returning token, depth
