-- strategies/flush_barrier.flush.sql: a transaction that writes a record and nothing else, on a connection
-- whose commits are flushed. The log is sequential: when this is on disk, every earlier commit is.
select pg_logical_emit_message(true, 'sellout', '')
