-- Taking one unit of a large sale reads one row. `no = any (…)` was no condition on the index where the table
-- had not been analysed yet, but a filter: each take looked at every unit that the sale had left. Who holds
-- the lock of a row knows where it is.

-- As in 0012, but for that.
create or replace function take_units(p_sale_id uuid, p_epoch bigint, p_first bigint, p_quantity bigint)
returns text language plpgsql set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    v_units tid[];
begin
    perform keep_epoch(p_sale_id);
    select coalesce(array_agg(u.ctid), '{}') into v_units from (
        select ctid from units where sale_id = p_sale_id and epoch = p_epoch and no >= p_first
        order by no limit p_quantity
        for update skip locked
    ) u;
    if cardinality(v_units) < p_quantity then
        select v_units || coalesce(array_agg(u.ctid), '{}') into v_units from (
            select ctid from units where sale_id = p_sale_id and epoch = p_epoch and no < p_first
            order by no limit p_quantity - cardinality(v_units)
            for update skip locked
        ) u;
    end if;
    -- Too few is none: what is not complete stays, and is free again in a moment.
    if cardinality(v_units) = p_quantity then
        delete from units where ctid = any (v_units);
        return 'all';
    end if;
    -- A count of what has committed, with the units of those who are taking just now: there are never more
    -- than that, even if all of those fail.
    if p_quantity > (
        select count(*)
        from (select from units where sale_id = p_sale_id and epoch = p_epoch limit p_quantity) u
    ) then
        perform check_laid_out(p_sale_id, p_epoch);
        return 'none';
    end if;
    return 'locked';
end
$$;

-- As in 0012, but for that.
create or replace function wait_for_units(p_sale_id uuid, p_epoch bigint, p_quantity bigint) returns boolean
language plpgsql set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    v_units tid[];
begin
    perform keep_epoch(p_sale_id);
    select coalesce(array_agg(u.ctid), '{}') into v_units from (
        select ctid from units where sale_id = p_sale_id and epoch = p_epoch
        order by no limit p_quantity
        for update
    ) u;
    if cardinality(v_units) < p_quantity then
        perform check_laid_out(p_sale_id, p_epoch);
        return false;
    end if;
    delete from units where ctid = any (v_units);
    return true;
end
$$;
