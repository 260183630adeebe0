-- Several sales in one order, all or nothing.

-- Takes and records every item, or nothing: a word for each item, `short` where too few units are left. The
-- first order carries the cart's key, so that the ledger's primary key keeps it from being used for anything
-- else; the others carry it with their sale's id behind a space, which no client can send. The sales come
-- sorted, so that two carts never wait for each other crosswise. The guarded subtraction is right beside
-- every strategy that takes at the stock row: who subtracts, who holds the row, who has read a version (it
-- is counted up) and who is serializable (the row has changed).
create function place_cart(
    p_caller text, p_key text, p_cart_id uuid, p_ids uuid[], p_sale_ids uuid[], p_buyer_id text,
    p_quantities bigint[], p_fingerprint bytea, p_retry_safe boolean, p_hold_ms bigint, p_epochs bigint[]
) returns text[] language plpgsql as $$
declare
    v_words text[] := array_fill('short'::text, array[cardinality(p_ids)]);
begin
    begin
        -- All stock rows first, then the orders: who has the key must not wait for a row of somebody who
        -- waits for the key.
        for i in 1 .. cardinality(p_ids) loop
            update stock
            set units_left = units_left - p_quantities[i], version = version + 1, fence = fence + 1
            where sale_id = p_sale_ids[i] and units_left >= p_quantities[i];
            v_words[i] := case when found then 'taken' else 'short' end;
        end loop;
        for i in 1 .. cardinality(p_ids) loop
            continue when v_words[i] = 'short';
            v_words[i] := record_one(
                p_caller, case i when 1 then p_key else p_key || ' ' || p_sale_ids[i] end, p_ids[i],
                p_sale_ids[i], p_buyer_id, p_quantities[i], p_fingerprint, p_retry_safe, p_hold_ms,
                p_epochs[i],
                p_cart_id
            );
            exit when v_words[i] = 'key_used';
        end loop;
        if exists (select from unnest(v_words) w where w <> 'recorded') then
            raise exception 'not all' using errcode = 'SO009';
        end if;
    exception when sqlstate 'SO009' then
        -- What was taken and recorded inside is undone by this; the words stay.
        null;
    end;
    return v_words;
end
$$;
