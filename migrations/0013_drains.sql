-- Orders of many sales that were taken in Redis, recorded in one statement and one commit: a thousand quiet
-- sales must not cost a statement and a flush for every order.

-- As drain(), for the case that nothing is odd: all of them are recorded, now or before, under the epoch that
-- they name. Else nothing is changed and SO009 says so; then each sale is drained by itself. Answers with the
-- counter of each sale after it, so that Redis' own can be held against it.
create function drain_many(
    p_callers text[], p_keys text[], p_ids uuid[], p_sale_ids uuid[], p_buyers text[], p_quantities bigint[],
    p_fingerprints bytea[], p_retry_safe boolean[], p_hold_ms bigint[], p_epochs bigint[]
) returns table (sale_id uuid, units_left bigint, returns bigint) language plpgsql as $$
declare
    v_words text[] := record_batch(
        p_callers, p_keys, p_ids, p_sale_ids, p_buyers, p_quantities, p_fingerprints, p_retry_safe,
        p_hold_ms, p_epochs
    );
begin
    -- What was refused before has been given back to Redis, and must not be taken here though units may be
    -- left by now. Looked up under the stock rows, so that no other drainer refuses it in between.
    if exists (select from unnest(v_words) w where w is distinct from 'recorded')
        or exists (select from refusals r where r.order_id = any (p_ids))
    then
        raise exception 'not all of them could be recorded' using errcode = 'SO009';
    end if;
    return query select s.sale_id, s.units_left, s.returns from stock s where s.sale_id = any (p_sale_ids);
end
$$;
