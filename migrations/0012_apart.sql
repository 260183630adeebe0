-- Units that lie apart from the stock row, so that no row is held by every buyer through a commit: in
-- stripes, as a row per unit, or as numbers of a sequence.
--
-- A hot row did something by the way: whoever had taken from it kept the epoch as it was until his commit,
-- for who raises it wants that row too. Here a lock of the sale does that, which all takes share. Locks are
-- taken in one sequence everywhere: the lock of the sale, the stock row, stripes or unit rows, the buyer,
-- the order. Nobody who holds a later one waits for an earlier one, so nobody waits in a circle; what comes
-- back has the first one alone, and so finds all stripes and unit rows free.

alter table stock
    -- The epoch for which the units were laid out elsewhere; null: they are in this row. Until that ends,
    -- units_left is a number that they never exceed: who has not heard of it yet and still takes from this
    -- row must be told `stale` by record_one(), and not find it empty.
    add column laid_out_for bigint;

-- It only reads, and so it sees what the statement sees that asks it: who lists the keys that were sold and
-- asks whether nothing is left must be told of one and the same moment.
alter function units_unsold(uuid) stable;

-- Keeps the epoch of a sale, and what comes back to it, as they are until the commit. Takes share it. (Two
-- sales of the same hash wait for each other sometimes; nothing else comes of it.)
create function keep_epoch(p_sale_id uuid) returns void language sql
return pg_advisory_xact_lock_shared(11, hashtext(p_sale_id::text));

-- Waits until nobody takes, and lets nobody begin until the commit: the ledger says exactly what is unsold.
-- Who comes after it waits behind it, so it is not kept waiting for ever.
create function stop_takes(p_sale_id uuid) returns void language sql
return pg_advisory_xact_lock(11, hashtext(p_sale_id::text));

-- How many units to lay out for an epoch; null: it was done before. `p_units` for a sale that is only being
-- opened, of which the ledger knows nothing yet.
create function lay_out(p_sale_id uuid, p_epoch bigint, p_units bigint) returns bigint
language plpgsql as $$
declare
    v_units bigint;
begin
    perform stop_takes(p_sale_id);
    perform from sales where id = p_sale_id and epoch <> p_epoch;
    if found then
        raise exception 'the sale has another epoch by now' using errcode = 'SO003';
    end if;
    insert into stock as k (sale_id, units_left, laid_out_for)
    values (p_sale_id, coalesce(units_unsold(p_sale_id), p_units), p_epoch)
    on conflict (sale_id) do update set units_left = excluded.units_left, laid_out_for = p_epoch
        where k.laid_out_for is distinct from p_epoch
    returning units_left into v_units;
    return v_units;
end
$$;

-- Before a take says sold out: where nothing is laid out for its epoch, not yet or not any more, it does not
-- know.
create function check_laid_out(p_sale_id uuid, p_epoch bigint) returns void language plpgsql as $$
begin
    perform from stock where sale_id = p_sale_id and laid_out_for = p_epoch;
    if not found then
        raise exception 'nothing is laid out for this epoch' using errcode = 'SO003';
    end if;
end
$$;

-- give_back() for units that lie apart: nobody takes until the commit. Returns by how many they must move;
-- each strategy has a function that moves them and passes the number on.
create function give_back_apart(
    p_sale_id uuid, p_epoch bigint, p_orders uuid[], p_to text, p_key text, p_delta bigint
) returns bigint language plpgsql as $$
declare
    v_units bigint;
begin
    perform stop_takes(p_sale_id);
    if p_delta < 0 then -- The number with which give_back() compares it.
        update stock set units_left = units_unsold(p_sale_id) where sale_id = p_sale_id;
    end if;
    v_units := give_back(p_sale_id, p_epoch, p_orders, p_to, p_key, p_delta);
    update stock
    set units_left = units_left + v_units, returns = returns + (v_units <> 0)::integer,
        version = version + 1, fence = fence + 1
    where sale_id = p_sale_id;
    return v_units;
end
$$;

-- As before; and who takes from units that lie apart is waited for too.
create or replace function raise_epoch(p_sale_id uuid, p_epoch bigint, p_strategy text, p_least bigint)
returns bigint language plpgsql as $$
declare
    v_epoch bigint;
begin
    perform stop_takes(p_sale_id);
    insert into stock (sale_id, units_left) values (p_sale_id, 0) on conflict do nothing;
    perform from stock where sale_id = p_sale_id for update;
    update sales set epoch = greatest(epoch + 1, p_least), strategy = coalesce(p_strategy, strategy)
    where id = p_sale_id and epoch = p_epoch returning epoch into v_epoch;
    if v_epoch is not null then
        -- A lock's late holder finds another version and a newer fence.
        update stock set units_left = units_unsold(p_sale_id), laid_out_for = null, version = version + 1,
            fence = fence + 1
        where sale_id = p_sale_id;
    end if;
    return v_epoch;
end
$$;

-- The stripes of an epoch: 16 rows that share its units. No check (units_left >= 0), as on stock.
create table stripes (
    sale_id    uuid    not null,
    epoch      bigint  not null,
    no         integer not null,
    units_left bigint  not null,
    primary key (sale_id, epoch, no)
)
with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Takes from the first stripe from `p_first` on that has enough and that nobody is taking from just now.
--   all     taken
--   none    there are not that many
--   locked  there may be, and others hold them: gather_stripes() waits, in a transaction of its own. Not in
--           this one: a row that was locked and then found too small stays locked, and who waits for all of
--           them in a fixed sequence must begin with none.
-- No plan may ever read the stripes of all sales, however few there were when it was made.
create function take_stripes(p_sale_id uuid, p_epoch bigint, p_first integer, p_quantity bigint)
returns text language plpgsql set enable_seqscan = off as $$
begin
    perform keep_epoch(p_sale_id);
    update stripes set units_left = units_left - p_quantity
    where sale_id = p_sale_id and epoch = p_epoch and no = (
        select no from stripes
        where sale_id = p_sale_id and epoch = p_epoch and units_left >= p_quantity
        order by no < p_first, no limit 1
        for update skip locked
    );
    if found then
        return 'all';
    end if;
    -- A sum of what has committed. What others have taken and not committed yet is not subtracted, so there
    -- are never more than that, even if all of those fail.
    if p_quantity > (
        select coalesce(sum(units_left), 0) from stripes where sale_id = p_sale_id and epoch = p_epoch
    ) then
        perform check_laid_out(p_sale_id, p_epoch);
        return 'none';
    end if;
    return 'locked';
end
$$;

-- Waits for the stripes, one after the other and by everybody in this sequence, until they have enough
-- together. Who waits here for the next one holds only earlier ones, and who takes from a single stripe waits
-- for none. False: all of them together have too few.
create function gather_stripes(p_sale_id uuid, p_epoch bigint, p_quantity bigint) returns boolean
language plpgsql set enable_seqscan = off as $$
declare
    v_found bigint := 0;
    v_left bigint;
    v_no integer := 0;
begin
    perform keep_epoch(p_sale_id);
    loop
        select units_left into v_left from stripes
        where sale_id = p_sale_id and epoch = p_epoch and no = v_no for update;
        if not found then
            perform check_laid_out(p_sale_id, p_epoch);
            return false;
        end if;
        v_found := v_found + v_left;
        exit when v_found >= p_quantity;
        v_no := v_no + 1;
    end loop;
    -- All up to this one are locked: those before it give all they have, the last one the rest.
    update stripes
    set units_left = case when no = v_no then v_found - p_quantity else 0 end
    where sale_id = p_sale_id and epoch = p_epoch and no <= v_no;
    return true;
end
$$;

-- Spreads what is in the stripes and these units evenly over them. Nobody takes meanwhile.
create function spread_over_stripes(p_sale_id uuid, p_epoch bigint, p_units bigint) returns bigint
language plpgsql set enable_seqscan = off as $$
begin
    update stripes s set units_left = t.units / t.stripes + (s.no < t.units % t.stripes)::integer
    from (
        select sum(units_left)::bigint + p_units as units, count(*) as stripes
        from stripes where sale_id = p_sale_id and epoch = p_epoch
    ) t
    where s.sale_id = p_sale_id and s.epoch = p_epoch and p_units <> 0;
    return p_units;
end
$$;

-- One row per unit that is for sale.
create table units (
    sale_id uuid   not null,
    epoch   bigint not null,
    no      bigint not null,
    primary key (sale_id, epoch, no)
)
with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Takes units that nobody is taking just now, from `p_first` on and then from the beginning.
-- Answers as take_stripes() does; who is told `locked` waits in wait_for_units(), in a transaction of its
-- own, so that two of whom each has a part do not wait for the other's.
-- Only a plan in the sequence of the index stops after so many; any other reads them all.
create function take_units(p_sale_id uuid, p_epoch bigint, p_first bigint, p_quantity bigint) returns text
language plpgsql set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    v_units bigint[];
begin
    perform keep_epoch(p_sale_id);
    select coalesce(array_agg(no), '{}') into v_units from (
        select no from units where sale_id = p_sale_id and epoch = p_epoch and no >= p_first
        order by no limit p_quantity
        for update skip locked
    ) u;
    if cardinality(v_units) < p_quantity then
        select v_units || coalesce(array_agg(no), '{}') into v_units from (
            select no from units where sale_id = p_sale_id and epoch = p_epoch and no < p_first
            order by no limit p_quantity - cardinality(v_units)
            for update skip locked
        ) u;
    end if;
    -- Too few is none: what is not complete stays, and is free again in a moment.
    if cardinality(v_units) = p_quantity then
        delete from units where sale_id = p_sale_id and epoch = p_epoch and no = any (v_units);
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

-- Waits for units that others hold, everybody in the sequence of their numbers: some are sold when their
-- holder is done, some are free. False: too few were.
create function wait_for_units(p_sale_id uuid, p_epoch bigint, p_quantity bigint) returns boolean
language plpgsql set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    v_units bigint[];
begin
    perform keep_epoch(p_sale_id);
    select coalesce(array_agg(no), '{}') into v_units from (
        select no from units where sale_id = p_sale_id and epoch = p_epoch
        order by no limit p_quantity
        for update
    ) u;
    if cardinality(v_units) < p_quantity then
        perform check_laid_out(p_sale_id, p_epoch);
        return false;
    end if;
    delete from units where sale_id = p_sale_id and epoch = p_epoch and no = any (v_units);
    return true;
end
$$;

-- Adds rows for units that came back, or removes some; nobody takes meanwhile. What is not laid out for this
-- epoch yet will be, with these.
create function put_units(p_sale_id uuid, p_epoch bigint, p_units bigint) returns bigint
language plpgsql set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    v_next bigint := 1 + coalesce(max(no), -1) from units where sale_id = p_sale_id and epoch = p_epoch;
begin
    perform from stock where sale_id = p_sale_id and laid_out_for = p_epoch;
    if found and p_units > 0 then
        insert into units select p_sale_id, p_epoch, n from generate_series(v_next, v_next + p_units - 1) n;
    elsif p_units < 0 then
        delete from units where sale_id = p_sale_id and epoch = p_epoch and no in (
            select no from units where sale_id = p_sale_id and epoch = p_epoch order by no desc limit -p_units
        );
    end if;
    return p_units;
end
$$;

-- Who sells by the numbers of a sequence. A number is drawn once and for all, whatever becomes of the
-- transaction: nobody waits for anybody's commit, and a number that was drawn and not sold is a gap.
create table tickets (
    sale_id      uuid     primary key,
    epoch        bigint   not null,
    sequence     regclass not null,
    -- Numbers after this one and up to the limit sell a unit each. When they were issued, so many units were
    -- unsold; what came back since has raised the limit.
    issued_after bigint   not null,
    ticket_limit bigint   not null
);

create function drawn(p_sequence regclass) returns bigint language sql
return coalesce(pg_sequence_last_value(p_sequence), 0);

-- May so many be drawn?
--   some  it is worth trying
--   none  not even what was unsold when the numbers were issued would do
--   gone  the numbers run out, and there may be gaps before: reissue() finds out
create function tickets_left(p_sale_id uuid, p_epoch bigint, p_quantity bigint) returns text
language plpgsql as $$
declare
    v_tickets tickets;
begin
    perform keep_epoch(p_sale_id);
    select * into v_tickets from tickets where sale_id = p_sale_id and epoch = p_epoch;
    if not found then
        raise exception 'no tickets are issued for this epoch' using errcode = 'SO003';
    end if;
    return case when v_tickets.ticket_limit - v_tickets.issued_after < p_quantity then 'none'
                when v_tickets.ticket_limit - drawn(v_tickets.sequence) < p_quantity then 'gone'
                else 'some' end;
end
$$;

-- Draws a number for each unit of an order that was just recorded; raises, and so undoes the record, when
-- one is beyond the limit: others were faster. Last of all, so that what is refused for another reason
-- draws none.
create function draw_tickets(p_sale_id uuid, p_quantity bigint, p_order_id uuid) returns uuid
language plpgsql as $$
declare
    v_tickets tickets;
begin
    select * into v_tickets from tickets where sale_id = p_sale_id;
    if v_tickets.ticket_limit < (
        select max(n) from (select nextval(v_tickets.sequence) as n from generate_series(1, p_quantity)) t
    ) then
        raise exception 'the tickets ran out' using errcode = '40001';
    end if;
    return p_order_id;
end
$$;

-- Issues new numbers for what the ledger says is unsold, when those that were issued run out: gaps are sold
-- after all. Nobody has drawn and not committed meanwhile. False: fewer than that are unsold.
create function reissue_tickets(p_sale_id uuid, p_epoch bigint, p_quantity bigint) returns boolean
language plpgsql as $$
declare
    v_tickets tickets;
    v_unsold bigint;
begin
    perform stop_takes(p_sale_id);
    select * into v_tickets from tickets where sale_id = p_sale_id and epoch = p_epoch;
    if not found then
        raise exception 'no tickets are issued for this epoch' using errcode = 'SO003';
    elsif v_tickets.ticket_limit - v_tickets.issued_after < p_quantity then
        return false;
    elsif v_tickets.ticket_limit - drawn(v_tickets.sequence) >= p_quantity then
        return true; -- Somebody else has done it while this waited.
    end if;
    v_unsold := units_unsold(p_sale_id);
    update tickets set issued_after = drawn(sequence), ticket_limit = drawn(sequence) + v_unsold
    where sale_id = p_sale_id;
    return v_unsold >= p_quantity;
end
$$;

-- Issues numbers for units that came back, or takes numbers off; nobody draws meanwhile. Numbers beyond the
-- limit that were drawn in vain do not count.
create function change_tickets(p_sale_id uuid, p_epoch bigint, p_units bigint) returns bigint
language plpgsql as $$
begin
    if p_units > 0 then
        update tickets set ticket_limit = greatest(ticket_limit, drawn(sequence)) + p_units
        where sale_id = p_sale_id and epoch = p_epoch;
    elsif p_units < 0 then
        update tickets
        set issued_after = drawn(sequence), ticket_limit = drawn(sequence) + units_unsold(p_sale_id)
        where sale_id = p_sale_id and epoch = p_epoch;
    end if;
    return p_units;
end
$$;

-- A sequence of its own for each sale: a small file, as long as the sale is sold this way.
create function open_tickets(p_sale_id uuid, p_epoch bigint, p_units bigint) returns void
language plpgsql as $$
declare
    v_units bigint := lay_out(p_sale_id, p_epoch, p_units);
    v_name text := 'tickets_' || replace(p_sale_id::text, '-', '');
begin
    if v_units is not null then
        delete from tickets where sale_id = p_sale_id;
        execute format('create sequence if not exists %I', v_name);
        insert into tickets (sale_id, epoch, sequence, issued_after, ticket_limit)
        select p_sale_id, p_epoch, v_name, drawn(v_name), drawn(v_name) + v_units;
    end if;
end
$$;

-- Drops the sequence of a sale that another strategy has taken over, unless it came back meanwhile.
create function forget_tickets(p_sale_id uuid, p_epoch bigint) returns void language plpgsql as $$
begin
    perform stop_takes(p_sale_id);
    delete from tickets where sale_id = p_sale_id and epoch <= p_epoch;
    if found then
        execute format('drop sequence if exists %I', 'tickets_' || replace(p_sale_id::text, '-', ''));
    end if;
end
$$;
