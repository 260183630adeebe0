-- insert_limit.table.sql: the columns and indexes of the ledger's orders, and nothing that refers to others.
create table insert_limit (
    caller      text        not null,
    key         text        not null,
    id          uuid        not null unique,
    sale_id     uuid        not null,
    buyer_id    text        not null,
    quantity    bigint      not null check (quantity > 0),
    state       text        not null,
    fingerprint bytea       not null,
    retry_safe  boolean     not null,
    recorded_at timestamptz not null default clock_timestamp(),
    expires_at  timestamptz,
    cart_id     uuid,
    primary key (caller, key)
);
create index insert_limit_of_sale on insert_limit (sale_id);
create index insert_limit_of_cart on insert_limit (cart_id) where cart_id is not null;
