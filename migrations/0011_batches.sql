-- Many orders in one statement: what each of them costs decides how many a second a hot item can sell.

-- What a batch asks of each sale, and what that means:
--   plain  all of its orders can be recorded at once
--   empty  not one of them can
-- Neither: they must be looked at one by one.
create function batch_sales(
    p_sale_ids uuid[], p_buyers text[], p_quantities bigint[], p_epochs bigint[],
    out sale_id uuid, out plain boolean, out empty boolean, out per_buyer_limit bigint
) returns setof record language sql stable as $$
    select d.sale_id,
           fits.now and d.units <= k.units_left
               and (s.per_buyer_limit is null or d.most <= s.per_buyer_limit and d.orders = d.buyers),
           fits.now and d.least > k.units_left,
           s.per_buyer_limit
    from (
        select e.sale_id, sum(e.quantity) as units, min(e.quantity) as least, max(e.quantity) as most,
               min(e.epoch) as epoch, max(e.epoch) as epoch_max, count(*) as orders,
               count(distinct e.buyer_id) as buyers
        from unnest(p_sale_ids, p_buyers, p_quantities, p_epochs) as e (sale_id, buyer_id, quantity, epoch)
        group by e.sale_id
    ) d
    join sales s on s.id = d.sale_id
    join stock k on k.sale_id = d.sale_id
    cross join lateral (
        select s.epoch = d.epoch and s.epoch = d.epoch_max
               and coalesce(s.opens_at <= clock_timestamp(), true)
               and coalesce(s.closes_at > clock_timestamp(), true) as now
    ) fits
$$;

-- What is said of a key that has an order: that it is used, or, of the very order that is asked for, that it
-- is recorded. Null: the key has no order.
create function used_key(p_caller text, p_key text, p_id uuid) returns text language sql stable as $$
    select case o.id when p_id then 'recorded' else 'key_used' end
    from orders o where o.caller = p_caller and o.key = p_key
$$;

-- Decides and records a batch of orders, of one sale or of many, and takes their units: a word for each, in
-- their sequence. The words are those of record_one, or `short` where too few units are left. Each is decided
-- as if it had come alone, the first one of a sale first. Twice the same batch is once, and answers twice the
-- same of what was recorded: who does not know whether a batch was committed sends it again.
create function record_batch(
    p_callers text[], p_keys text[], p_ids uuid[], p_sale_ids uuid[], p_buyers text[], p_quantities bigint[],
    p_fingerprints bytea[], p_retry_safe boolean[], p_hold_ms bigint[], p_epochs bigint[]
) returns text[] language plpgsql as $$
declare
    v_now timestamptz;
    v_locked boolean := exists (select from stock where sale_id = any (p_sale_ids) and units_left > 0);
    v_others boolean;
    v_plain uuid[];
    v_empty uuid[];
    v_limits uuid[];
    v_refused integer[] := '{}';
    v_recorded uuid[];
    v_words text[];
    v_left bigint;
begin
    -- Where nothing is left, nothing is written and nobody needs to wait: one look says so. Else the stock
    -- rows are locked, sorted, so that two batches never wait for each other crosswise; from here to the
    -- commit no other take, no return and no change of the epoch comes in between.
    loop
        if v_locked then
            perform from stock where sale_id = any (p_sale_ids) order by sale_id for update;
        end if;
        select array_agg(b.sale_id) filter (where b.plain), array_agg(b.sale_id) filter (where b.empty),
               array_agg(b.sale_id) filter (where b.plain and b.per_buyer_limit is not null),
               bool_or(not b.empty)
        into v_plain, v_empty, v_limits, v_others
        from batch_sales(p_sale_ids, p_buyers, p_quantities, p_epochs) b;
        exit when v_locked or not coalesce(v_others, true);
        -- Units came back in between, or a sale is closed, or gone.
        v_locked := true;
    end loop;

    if v_limits is not null then
        -- Each buyer once, or the sale would not be plain. The row decides, as in record_one.
        with wanted as (
            select e.sale_id, e.buyer_id, e.quantity, e.n
            from unnest(p_sale_ids, p_buyers, p_quantities) with ordinality
                as e (sale_id, buyer_id, quantity, n)
            where e.sale_id = any (v_limits)
        ), had as (
            insert into buyer_units as b (sale_id, buyer_id, units)
            select w.sale_id, w.buyer_id, w.quantity from wanted w
            on conflict (sale_id, buyer_id) do update set units = b.units + excluded.units
                where b.units + excluded.units <= (select per_buyer_limit from sales where id = b.sale_id)
            returning b.sale_id, b.buyer_id
        )
        select coalesce(array_agg(w.n::integer), '{}') into v_refused
        from wanted w
        where not exists (select from had h where h.sale_id = w.sale_id and h.buyer_id = w.buyer_id);
    end if;

    if v_plain is not null then
        v_now := clock_timestamp();
        with recorded as (
            insert into orders (
                caller, key, id, sale_id, buyer_id, quantity, state, fingerprint, retry_safe, expires_at
            )
            select e.caller, e.key, e.id, e.sale_id, e.buyer_id, e.quantity,
                   case when e.hold_ms is null then 'confirmed' else 'held' end, e.fingerprint, e.retry_safe,
                   v_now + e.hold_ms * interval '1 millisecond'
            from unnest(p_callers, p_keys, p_ids, p_sale_ids, p_buyers, p_quantities, p_fingerprints,
                        p_retry_safe, p_hold_ms) with ordinality
                as e (caller, key, id, sale_id, buyer_id, quantity, fingerprint, retry_safe, hold_ms, n)
            where e.sale_id = any (v_plain) and e.n <> all (v_refused)
            -- A key may be under way for another sale, in another batch: waited for in one sequence.
            order by e.caller, e.key, e.n
            on conflict do nothing
            returning id, sale_id, quantity, expires_at
        ), held as (
            insert into holds (order_id, sale_id, expires_at)
            select r.id, r.sale_id, r.expires_at from recorded r where r.expires_at is not null
        ), taken as (
            update stock k set units_left = k.units_left - t.units, version = k.version + 1
            from (select r.sale_id, sum(r.quantity)::bigint as units from recorded r group by r.sale_id) t
            where k.sale_id = t.sale_id
        )
        select coalesce(array_agg(r.id), '{}') into v_recorded from recorded r;
        if cardinality(v_recorded) = cardinality(p_ids) then
            return array_fill('recorded'::text, array[cardinality(p_ids)]);
        end if;
    end if;

    if v_limits is not null then
        -- Counted, and then not recorded: the key had been used.
        update buyer_units b set units = b.units - e.quantity
        from unnest(p_ids, p_sale_ids, p_buyers, p_quantities) with ordinality
            as e (id, sale_id, buyer_id, quantity, n)
        where e.sale_id = any (v_limits) and e.n <> all (v_refused) and e.id <> all (v_recorded)
          and b.sale_id = e.sale_id and b.buyer_id = e.buyer_id;
    end if;

    select array_agg(
               case when r.id is not null then 'recorded'
                    when e.sale_id = any (v_plain) and e.n <> all (v_refused)
                    then used_key(e.caller, e.key, e.id)
                    when e.sale_id = any (v_empty) then coalesce(used_key(e.caller, e.key, e.id), 'short')
               end order by e.n)
    into v_words
    from unnest(p_callers, p_keys, p_ids, p_sale_ids) with ordinality as e (caller, key, id, sale_id, n)
    left join unnest(v_recorded) as r (id) on r.id = e.id;

    for i in 1 .. cardinality(p_ids) loop
        continue when v_words[i] is not null;
        select units_left into v_left from stock where sale_id = p_sale_ids[i];
        if coalesce(v_left, 0) < p_quantities[i] then
            -- Not asked of record_one: a sale may open in this very moment, and there is nothing to sell.
            v_words[i] := coalesce(used_key(p_callers[i], p_keys[i], p_ids[i]), (
                select case when s.epoch <> p_epochs[i] then 'stale'
                            when s.opens_at > clock_timestamp() then 'early'
                            when s.closes_at <= clock_timestamp() then 'ended'
                            when v_left is not null then 'short'
                       end
                from sales s where s.id = p_sale_ids[i]
            ), 'missing');
            continue;
        end if;
        v_words[i] := record_one(
            p_callers[i], p_keys[i], p_ids[i], p_sale_ids[i], p_buyers[i], p_quantities[i], p_fingerprints[i],
            p_retry_safe[i], p_hold_ms[i], p_epochs[i]
        );
        if v_words[i] = 'recorded' then
            update stock set units_left = units_left - p_quantities[i], version = version + 1
            where sale_id = p_sale_ids[i];
        elsif v_words[i] = 'key_used' then
            v_words[i] := used_key(p_callers[i], p_keys[i], p_ids[i]);
        end if;
    end loop;
    return v_words;
end
$$;

-- A word for each order that was taken in Redis, as before; by one statement instead of one for each.
create or replace function drain(
    p_sale_id uuid, p_epoch bigint, p_callers text[], p_keys text[], p_ids uuid[], p_buyers text[],
    p_quantities bigint[], p_fingerprints bytea[], p_retry_safe boolean[], p_hold_ms bigint[]
) returns table (words text[], units_left bigint, returns bigint) language plpgsql as $$
declare
    v_epoch bigint;
    v_left bigint;
    v_returns bigint;
    v_old boolean;
    v_words text[];
    v_n integer := cardinality(p_ids);
begin
    -- From here to the commit no other drainer and no change of the epoch comes in between.
    select s.units_left, s.returns into v_left, v_returns from stock s where s.sale_id = p_sale_id for update;
    select epoch into v_epoch from sales where id = p_sale_id;
    if v_left is null or v_epoch is null then
        raise exception 'no such sale' using errcode = 'SO006';
    elsif v_epoch <> p_epoch then
        raise exception 'the sale has another epoch by now' using errcode = 'SO003';
    end if;

    -- Brought once more: the first time counts. What was recorded then is found by its key; what was refused
    -- has been given back to Redis, and must not be taken here though units may be left by now.
    select exists (select from refusals r where r.order_id = any (p_ids)) into v_old;
    if v_old then
        select array_agg(coalesce(r.word, 'new') order by e.n) into v_words
        from unnest(p_ids) with ordinality as e (id, n)
        left join refusals r on r.order_id = e.id;
        select array_agg(e.caller), array_agg(e.key), array_agg(e.id), array_agg(e.buyer_id),
               array_agg(e.quantity), array_agg(e.fingerprint), array_agg(e.retry_safe), array_agg(e.hold_ms)
        into p_callers, p_keys, p_ids, p_buyers, p_quantities, p_fingerprints, p_retry_safe, p_hold_ms
        from (
            select *
            from unnest(p_callers, p_keys, p_ids, p_buyers, p_quantities, p_fingerprints, p_retry_safe,
                        p_hold_ms, v_words) with ordinality
                as u (caller, key, id, buyer_id, quantity, fingerprint, retry_safe, hold_ms, word, n)
            where u.word = 'new' order by u.n
        ) e;
    end if;
    declare
        v_new text[] := '{}';
        v_refused boolean;
        v_at integer := 0;
    begin
        if p_ids is not null then
            v_new := record_batch(
                p_callers, p_keys, p_ids, array_fill(p_sale_id, array[cardinality(p_ids)]), p_buyers,
                p_quantities, p_fingerprints, p_retry_safe, p_hold_ms,
                array_fill(p_epoch, array[cardinality(p_ids)])
            );
        end if;
        if exists (select from unnest(v_new) w where w <> 'recorded') then
            with refused as (
                select * from unnest(p_callers, p_keys, p_ids, p_buyers, p_quantities, v_new)
                    as u (caller, key, id, buyer_id, quantity, word)
                where u.word <> 'recorded'
            ), noted as (
                insert into refusals (order_id, sale_id, word) select r.id, p_sale_id, r.word from refused r
            ), numbered as (
                insert into returns (sale_id, seq, units, buyers, buyer_units, forgotten)
                select p_sale_id, v_returns + 1, sum(r.quantity), array_agg(r.buyer_id),
                       array_agg(r.quantity), array_agg(r.caller || ':' || r.key || ' ' || r.id)
                from refused r having count(*) > 0
                returning 1
            )
            select exists (select from numbered) into v_refused;
            if v_refused then
                update stock s set returns = s.returns + 1 where s.sale_id = p_sale_id;
            end if;
        end if;
        -- What was decided now stands where nothing was known before.
        for i in 1 .. v_n loop
            exit when v_words is null;
            if v_words[i] = 'new' then
                v_at := v_at + 1;
                v_words[i] := v_new[v_at];
            end if;
        end loop;
        v_words := coalesce(v_words, v_new);
    end;
    return query select v_words, s.units_left, s.returns from stock s where s.sale_id = p_sale_id;
end
$$;
