-- The second witness: what the clients of a load test were told. Written by the lab only, after a run;
-- the audit holds it against the ledger.

create table tallies (
    sale_id               uuid   primary key references sales (id),
    attempts              bigint not null,
    sold                  bigint not null,
    sold_out              bigint not null,
    contended             bigint not null,
    rejected              bigint not null,
    error                 bigint not null,
    unknown               bigint not null,
    peak_in_flight        bigint not null,
    demand_units          bigint not null,
    sold_out_quantity_min bigint
);

create table tally_orders (
    sale_id  uuid   not null references tallies (sale_id) on delete cascade,
    key      text   not null,
    -- Null: the client knows neither yes nor no.
    order_id uuid,
    buyer_id text   not null,
    quantity bigint not null
);

create index tally_orders_of_sale on tally_orders (sale_id, key);
