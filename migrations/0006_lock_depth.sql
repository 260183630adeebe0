-- lock_pg_table: how often its owner is inside, and its newest entry. An owner may enter again under the same
-- token, and leaves as often as it entered; an entry whose answer got lost is undone by its own id, so that
-- an earlier one of the same owner stays.
alter table lock_leases add column depth integer not null default 1;
alter table lock_leases add column entry uuid;
