-- What is offered. A row is written once, when the sale opens, and never updated:
-- the opening stock must not move, because everything is judged against it.

create table sales (
    id              uuid        primary key,
    name            text        not null,
    units           bigint      not null check (units > 0),
    strategy        text        not null,
    per_buyer_limit bigint      check (per_buyer_limit > 0),
    opened_at       timestamptz not null default clock_timestamp()
);

create index sales_newest on sales (opened_at desc);
