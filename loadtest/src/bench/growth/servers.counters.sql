-- growth/servers.counters.sql: orders, pages not in shared_buffers, pages there, full-page images and bytes
-- of the write-ahead log.
select (select count(*) from orders), d.blks_read, d.blks_hit, w.wal_fpi, w.wal_bytes::bigint
from pg_stat_database d, pg_stat_wal w
where d.datname = current_database()
