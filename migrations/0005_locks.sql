-- What the locks of PostgreSQL lock, and the fence that makes any lock safe.

-- The newest holder that has looked at the stock. A token is claimed when reading and required equal when
-- writing: whoever was overtaken between the two finds another number here, and writes nothing.
alter table stock add column fence bigint not null default 0;

-- lock_pg_row: a row to be locked and nothing else, so that the lock stands apart from the stock.
create table lock_rows (
    sale_id uuid primary key
);

-- lock_pg_table: who is inside and until when, by the clock of this server and of no other. Rows stay: a
-- deleted one would start its tokens again.
create table lock_leases (
    sale_id    uuid        primary key,
    owner      uuid        not null,
    token      bigint      not null,
    expires_at timestamptz not null
);

-- lock_pg_unique: whose insert wins is inside. No lease: who dies inside locks the door for ever.
create table lock_uniques (
    sale_id uuid primary key,
    owner   uuid not null
);
