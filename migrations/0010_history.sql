-- What an order costs to write down decides how many a second a hot item can sell.

-- Three rows were looked up for every order to see that its sale and its order exist: half of what it cost.
-- Sales and orders are never deleted, and the functions that write here have read the sale and written the
-- order in the same breath, so these constraints could not fail; the audit would see it.
alter table orders drop constraint orders_sale_id_fkey;
alter table movements drop constraint movements_sale_id_fkey, drop constraint movements_order_id_fkey;

-- An order's own row is its first movement: written once, with the units, the time and (expires_at) the kind.
-- A copy of it beside it cost a third of the rest and said nothing more. `movements` keeps what came later.
-- Copies that were written before this migration stay where they are, and are not read.
create view history as
    select sale_id, id as order_id, case when expires_at is null then 'sold' else 'held' end as kind,
           -quantity as delta, recorded_at as at, 0::bigint as seq
    from orders
    union all
    select sale_id, order_id, kind, delta, at, seq from movements where kind not in ('sold', 'held');

-- As in 0007, without the copy.
create or replace function record_one(
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

    if p_hold_ms is not null then
        insert into holds (order_id, sale_id, expires_at) values (p_id, p_sale_id, v_expires);
    end if;
    return 'recorded';
end
$$;
