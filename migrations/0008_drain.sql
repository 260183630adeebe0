-- From Redis to the ledger: what a script has taken there is recorded here, in batches.

-- Orders that were taken in Redis and refused here, each once: a drainer may die between its commit and its
-- word to Redis, and then another one brings the same entry again.
create table refusals (
    order_id uuid        primary key,
    sale_id  uuid        not null references sales (id),
    word     text        not null,
    at       timestamptz not null default clock_timestamp()
);

-- Records a batch of orders of one sale and takes their units from the counter. A word for each order: those
-- of record_one, or `short` where fewer units are left here than Redis believed. What is refused goes back
-- to Redis as a return, numbered like every other. Answers with the counter after it, so that Redis' own can
-- be held against it.
create function drain(
    p_sale_id uuid, p_epoch bigint, p_callers text[], p_keys text[], p_ids uuid[], p_buyers text[],
    p_quantities bigint[], p_fingerprints bytea[], p_retry_safe boolean[], p_hold_ms bigint[]
) returns table (words text[], units_left bigint, returns bigint) language plpgsql as $$
declare
    v_epoch bigint;
    v_left bigint;
    v_returns bigint;
    v_word text;
    v_words text[] := '{}';
    v_back bigint := 0;
    v_buyers text[] := '{}';
    v_buyer_units bigint[] := '{}';
    v_forgotten text[] := '{}';
begin
    -- From here to the commit no other drainer and no change of the epoch comes in between.
    select s.units_left, s.returns into v_left, v_returns from stock s where s.sale_id = p_sale_id for update;
    select epoch into v_epoch from sales where id = p_sale_id;
    if v_left is null or v_epoch is null then
        raise exception 'no such sale' using errcode = 'SO006';
    elsif v_epoch <> p_epoch then
        raise exception 'the sale has another epoch by now' using errcode = 'SO003';
    end if;

    for i in 1 .. cardinality(p_ids) loop
        -- Brought once more: the first time counts.
        select case when exists (select from orders o where o.id = p_ids[i]) then 'recorded'
                    else (select r.word from refusals r where r.order_id = p_ids[i]) end into v_word;
        if v_word is null then
            v_word := case when p_quantities[i] > v_left then 'short' else record_one(
                p_callers[i], p_keys[i], p_ids[i], p_sale_id, p_buyers[i], p_quantities[i],
                p_fingerprints[i], p_retry_safe[i], p_hold_ms[i], p_epoch) end;
            if v_word = 'recorded' then
                v_left := v_left - p_quantities[i];
            else
                insert into refusals (order_id, sale_id, word) values (p_ids[i], p_sale_id, v_word);
                v_back := v_back + p_quantities[i];
                v_buyers := v_buyers || p_buyers[i];
                v_buyer_units := v_buyer_units || p_quantities[i];
                v_forgotten := v_forgotten || (p_callers[i] || ':' || p_keys[i] || ' ' || p_ids[i]);
            end if;
        end if;
        v_words := v_words || v_word;
    end loop;

    if v_back > 0 then
        v_returns := v_returns + 1;
        insert into returns (sale_id, seq, units, buyers, buyer_units, forgotten)
        values (p_sale_id, v_returns, v_back, v_buyers, v_buyer_units, v_forgotten);
    end if;
    update stock s set units_left = v_left, returns = v_returns, version = s.version + 1
    where s.sale_id = p_sale_id;
    return query select v_words, v_left, v_returns;
end
$$;
