-- The ledger: what happened. Rows are never deleted and never rewritten; an order's state alone changes,
-- together with a movement row. record_order() below is the only writer of orders in the whole project.

create table orders (
    -- One idempotency key is one operation. The key lives in the order's own row, so that a retry cannot
    -- sell twice even when everything else has been lost.
    caller      text        not null,
    key         text        not null,
    id          uuid        not null unique,
    sale_id     uuid        not null references sales (id),
    buyer_id    text        not null,
    quantity    bigint      not null check (quantity > 0),
    state       text        not null
        check (state in ('held', 'confirmed', 'released', 'expired', 'cancelled')),
    -- SHA-256 of what was asked for: the same key with another body is refused, not replayed.
    fingerprint bytea       not null,
    retry_safe  boolean     not null,
    recorded_at timestamptz not null default clock_timestamp(),
    primary key (caller, key)
);

create index orders_of_sale on orders (sale_id);

-- Every change of an order's units, in the order in which it happened.
create table movements (
    seq      bigint      generated always as identity primary key,
    sale_id  uuid        not null references sales (id),
    order_id uuid        not null references orders (id),
    kind     text        not null
        check (kind in ('sold', 'held', 'confirmed', 'released', 'expired', 'cancelled')),
    delta    bigint      not null,
    at       timestamptz not null default clock_timestamp(),
    -- Each change happens at most once.
    unique (order_id, kind)
);

create index movements_of_sale on movements (sale_id);

-- What each buyer has, for sales with a limit. A guarded upsert on this row decides, never a count of
-- orders: two requests that count at the same moment both see room.
create table buyer_units (
    sale_id  uuid   not null references sales (id),
    buyer_id text   not null,
    units    bigint not null,
    primary key (sale_id, buyer_id)
);

-- Records one sold order, or raises and so undoes the statement that took the units:
--   SO001  the key has been used: look it up and answer what was answered then
--   SO002  the buyer may not have that many
create function record_order(
    p_caller text, p_key text, p_id uuid, p_sale_id uuid, p_buyer_id text, p_quantity bigint,
    p_fingerprint bytea, p_retry_safe boolean
) returns uuid language plpgsql as $$
declare
    v_limit bigint;
begin
    insert into orders (caller, key, id, sale_id, buyer_id, quantity, state, fingerprint, retry_safe)
    values (p_caller, p_key, p_id, p_sale_id, p_buyer_id, p_quantity, 'confirmed', p_fingerprint,
            p_retry_safe)
    -- A twin that is under way makes this wait for its commit; it is never overtaken. No conflict target: a
    -- retry that carries the first order id collides on that too.
    on conflict do nothing;
    if not found then
        raise exception 'idempotency key already used' using errcode = 'SO001';
    end if;

    select per_buyer_limit into v_limit from sales where id = p_sale_id;
    if v_limit is not null then
        if p_quantity > v_limit then
            raise exception 'beyond the buyer limit' using errcode = 'SO002';
        end if;
        insert into buyer_units as b (sale_id, buyer_id, units)
        values (p_sale_id, p_buyer_id, p_quantity)
        on conflict (sale_id, buyer_id) do update set units = b.units + excluded.units
            where b.units + excluded.units <= v_limit;
        if not found then
            raise exception 'beyond the buyer limit' using errcode = 'SO002';
        end if;
    end if;

    insert into movements (sale_id, order_id, kind, delta) values (p_sale_id, p_id, 'sold', -p_quantity);
    return p_id;
end
$$;
