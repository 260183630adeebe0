-- insert_limit.rows.sql: a thousand orders in one statement, committed and flushed.
insert into insert_limit (caller, key, id, sale_id, buyer_id, quantity, state, fingerprint, retry_safe)
select 'anonymous', 'k-' || id, id, '00000000-0000-0000-0000-000000000003', 'b-' || id, 1, 'confirmed',
    '\x000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f', true
  from unnest(array(select gen_random_uuid() from generate_series(1, 1000))) as id;
