-- An order's whole life: it may be held before it is confirmed, and its units may come back. A sale has
-- hours, its stock may be changed while it sells, and it may be handed over to another strategy.

alter table sales
    -- Raised whenever who sold until now must not go on: at a handover to another strategy, and when Redis
    -- is filled anew. Every write of an order says for which epoch it was decided.
    add column epoch bigint not null default 1,
    -- By the clock of this server and of no other. Null: open at once, without end.
    add column opens_at timestamptz,
    add column closes_at timestamptz,
    add constraint sales_hours check (opens_at < closes_at);

-- When a hold ends; null: it was never held. Written once, so that a retry is answered as the first time.
alter table orders add column expires_at timestamptz;
-- What was placed together with others; null: alone.
alter table orders add column cart_id uuid;
create index orders_of_cart on orders (cart_id) where cart_id is not null;

alter table stock
    -- How often units came back or were changed, without a gap: who counts elsewhere (Redis) or remembers
    -- that nothing was left learns by it what it has missed.
    add column returns bigint not null default 0;

-- The open holds: what a sweeper has to look at. No ledger, a list of work: a row goes when its hold ends.
create table holds (
    order_id      uuid        primary key references orders (id),
    sale_id       uuid        not null references sales (id),
    expires_at    timestamptz not null,
    -- A sweeper is at it until then; should that one die, another takes over.
    claimed_until timestamptz not null default '-infinity'
);

create index holds_due on holds (expires_at);

-- Units that an operator put on sale later, or took off. One key is one change.
create table stock_changes (
    sale_id uuid        not null references sales (id),
    key     text        not null,
    delta   bigint      not null check (delta <> 0),
    at      timestamptz not null default clock_timestamp(),
    primary key (sale_id, key)
);

alter table movements alter column order_id drop not null;
alter table movements drop constraint movements_kind_check;
alter table movements
    add constraint movements_kind check (kind in
        ('sold', 'held', 'confirmed', 'released', 'expired', 'cancelled', 'restocked', 'reduced')),
    -- Only what an operator did belongs to no order.
    add constraint movements_whose check ((order_id is null) = (kind in ('restocked', 'reduced')));

-- What came back, numbered without a gap per sale, for whoever counts elsewhere.
create table returns (
    sale_id     uuid     not null references sales (id),
    seq         bigint   not null,
    units       bigint   not null,
    -- Whose, and how many each: a limit counted elsewhere must fall too.
    buyers      text[]   not null default '{}',
    buyer_units bigint[] not null default '{}',
    -- Keys (caller:key) of orders that were taken elsewhere and refused here: to be forgotten there.
    forgotten   text[]   not null default '{}',
    primary key (sale_id, seq)
);

-- Records one order, or says in a word why not; the only writer of orders. Who calls it has locked the stock
-- row (its take did): whoever raises the epoch needs that row too, so that the epoch which is read here
-- stays until the commit. Locks are taken in one sequence everywhere: stock, buyer, order.
--   recorded
--   key_used  look it up and answer what was answered then
--   limit     the buyer may not have that many
--   stale     the sale's epoch has been raised since this was decided
--   early, ended, missing  the sale is not open yet, not any more, not there
create function record_one(
    p_caller text, p_key text, p_id uuid, p_sale_id uuid, p_buyer_id text, p_quantity bigint,
    p_fingerprint bytea, p_retry_safe boolean, p_hold_ms bigint, p_epoch bigint, p_cart_id uuid default null
) returns text language plpgsql as $$
declare
    v_sale sales;
    v_now timestamptz := clock_timestamp();
    v_expires timestamptz := v_now + p_hold_ms * interval '1 millisecond';
begin
    select * into v_sale from sales where id = p_sale_id;
    if not found then
        return 'missing';
    elsif v_sale.epoch <> p_epoch then
        return 'stale';
    elsif v_sale.opens_at > v_now or v_sale.closes_at <= v_now then
        -- A retry of what was sold gets its order at any hour.
        perform from orders where caller = p_caller and key = p_key;
        return case when found then 'key_used' when v_sale.opens_at > v_now then 'early' else 'ended' end;
    end if;

    if v_sale.per_buyer_limit is not null then
        -- The row decides, never a count of orders: two who count at the same moment both see room. Also a
        -- twin under way makes this wait for its commit.
        insert into buyer_units as b (sale_id, buyer_id, units)
        select p_sale_id, p_buyer_id, p_quantity where p_quantity <= v_sale.per_buyer_limit
        on conflict (sale_id, buyer_id) do update set units = b.units + excluded.units
            where b.units + excluded.units <= v_sale.per_buyer_limit;
        if not found then
            perform from orders where caller = p_caller and key = p_key;
            return case when found then 'key_used' else 'limit' end;
        end if;
    end if;

    insert into orders (
        caller, key, id, sale_id, buyer_id, quantity, state, fingerprint, retry_safe, expires_at, cart_id
    ) values (
        p_caller, p_key, p_id, p_sale_id, p_buyer_id, p_quantity,
        case when p_hold_ms is null then 'confirmed' else 'held' end, p_fingerprint, p_retry_safe, v_expires,
        p_cart_id
    )
    -- A twin that is under way makes this wait for its commit; it is never overtaken. No conflict target: a
    -- retry that carries the first order id collides on that too.
    on conflict do nothing;
    if not found then
        update buyer_units set units = units - p_quantity
        where sale_id = p_sale_id and buyer_id = p_buyer_id and v_sale.per_buyer_limit is not null;
        return 'key_used';
    end if;

    insert into movements (sale_id, order_id, kind, delta)
    values (p_sale_id, p_id, case when p_hold_ms is null then 'sold' else 'held' end, -p_quantity);
    if p_hold_ms is not null then
        insert into holds (order_id, sale_id, expires_at) values (p_id, p_sale_id, v_expires);
    end if;
    return 'recorded';
end
$$;

-- The same for a strategy's own statement: raises unless it was recorded, and so undoes the take.
drop function record_order(text, text, uuid, uuid, text, bigint, bytea, boolean);
create function record_order(
    p_caller text, p_key text, p_id uuid, p_sale_id uuid, p_buyer_id text, p_quantity bigint,
    p_fingerprint bytea, p_retry_safe boolean, p_hold_ms bigint default null, p_epoch bigint default 1
) returns uuid language plpgsql as $$
declare
    v_word text := record_one(p_caller, p_key, p_id, p_sale_id, p_buyer_id, p_quantity, p_fingerprint,
                              p_retry_safe, p_hold_ms, p_epoch);
begin
    if v_word <> 'recorded' then
        raise exception 'not recorded: %', v_word using errcode = case v_word
            when 'key_used' then 'SO001' when 'limit' then 'SO002' when 'stale' then 'SO003'
            when 'early' then 'SO004' when 'ended' then 'SO005' else 'SO006' end;
    end if;
    return p_id;
end
$$;

-- Moves orders on to their next state, those that may: the only writer of a state. The movement is written in
-- the same statement, and an open hold leaves the list of work.
create function move_orders(p_ids uuid[], p_to text)
returns table (id uuid, sale_id uuid, buyer_id text, quantity bigint) language sql as $$
    with moved as (
        update orders o set state = p_to
        where o.id = any (p_ids) and case p_to
            -- One clock says whether a hold has ended: of confirm and expire exactly one finds it so.
            when 'confirmed' then o.state = 'held' and o.expires_at > clock_timestamp()
            when 'expired' then o.state = 'held' and o.expires_at <= clock_timestamp()
            when 'released' then o.state = 'held'
            when 'cancelled' then o.state = 'confirmed'
            else false
        end
        returning o.id, o.sale_id, o.buyer_id, o.quantity
    ), noted as (
        insert into movements (sale_id, order_id, kind, delta)
        select m.sale_id, m.id, p_to, case p_to when 'confirmed' then 0 else m.quantity end from moved m
    ), ended as (
        delete from holds h using moved m where h.order_id = m.id
    )
    select m.id, m.sale_id, m.buyer_id, m.quantity from moved m
$$;

-- Gives back the units of orders (released, expired, cancelled), or makes an operator's change of the stock;
-- returns by how many units the counter must move. The caller moves it in the same statement, its own way,
-- and counts `returns` up by one: the stock row is locked here, so that nobody comes in between. 0: nothing
-- to do, it was done before.
create function give_back(
    p_sale_id uuid, p_epoch bigint, p_orders uuid[], p_to text, p_key text, p_delta bigint
) returns bigint language plpgsql as $$
declare
    v_left bigint;
    v_seq bigint;
    v_epoch bigint;
    v_units bigint;
    v_buyers text[];
    v_buyer_units bigint[];
begin
    select units_left, returns + 1 into v_left, v_seq from stock where sale_id = p_sale_id for update;
    select epoch into v_epoch from sales where id = p_sale_id;
    if v_seq is null or v_epoch is null then
        raise exception 'no such sale' using errcode = 'SO006';
    elsif v_epoch <> p_epoch then
        raise exception 'the sale has another epoch by now' using errcode = 'SO003';
    end if;

    if p_orders is null then
        insert into stock_changes (sale_id, key, delta) values (p_sale_id, p_key, p_delta)
        on conflict do nothing;
        if not found then
            perform from stock_changes where sale_id = p_sale_id and key = p_key and delta = p_delta;
            if not found then
                raise exception 'the key was used for another change' using errcode = 'SO007';
            end if;
            return 0;
        elsif v_left + p_delta < 0 then
            raise exception 'fewer are left than shall be taken off' using errcode = 'SO008';
        end if;
        v_units := p_delta;
        insert into movements (sale_id, kind, delta)
        values (p_sale_id, case when p_delta > 0 then 'restocked' else 'reduced' end, p_delta);
    else
        with moved as (
            select * from move_orders(p_orders, p_to)
        ), per_buyer as (
            select buyer_id, sum(quantity)::bigint as units from moved group by buyer_id
        ), freed as (
            update buyer_units b set units = b.units - p.units
            from per_buyer p where b.sale_id = p_sale_id and b.buyer_id = p.buyer_id
        )
        select sum(units), array_agg(buyer_id), array_agg(units) into v_units, v_buyers, v_buyer_units
        from per_buyer;
        if v_units is null then
            return 0;
        end if;
    end if;
    insert into returns (sale_id, seq, units, buyers, buyer_units)
    values (p_sale_id, v_seq, v_units, coalesce(v_buyers, '{}'), coalesce(v_buyer_units, '{}'));
    return v_units;
end
$$;

-- Units that the ledger says are left: at opening, and what an operator changed, less what is held and sold.
create function units_unsold(p_sale_id uuid) returns bigint language sql as $$
    select (s.units
        + (select coalesce(sum(delta), 0) from stock_changes where sale_id = s.id)
        - (select coalesce(sum(quantity), 0) from orders
           where sale_id = s.id and state in ('held', 'confirmed')))::bigint
    from sales s where s.id = p_sale_id
$$;

-- Ends an epoch: whoever decided under the old one records nothing any more. Who is recording just now is
-- waited for (they have locked the stock row), and after that nobody else can write, so the counter is set to
-- what the ledger says. Null: somebody else has raised it before.
-- `p_least`: the new epoch is at least that (Redis may have seen one that a failed-over ledger has not).
create function raise_epoch(p_sale_id uuid, p_epoch bigint, p_strategy text, p_least bigint)
returns bigint language plpgsql as $$
declare
    v_epoch bigint;
begin
    insert into stock (sale_id, units_left) values (p_sale_id, 0) on conflict do nothing;
    perform from stock where sale_id = p_sale_id for update;
    update sales set epoch = greatest(epoch + 1, p_least), strategy = coalesce(p_strategy, strategy)
    where id = p_sale_id and epoch = p_epoch returning epoch into v_epoch;
    if v_epoch is not null then
        -- A lock's late holder finds another version and a newer fence.
        update stock set units_left = units_unsold(p_sale_id), version = version + 1, fence = fence + 1
        where sale_id = p_sale_id;
    end if;
    return v_epoch;
end
$$;
