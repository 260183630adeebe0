-- growth/servers.sizes.sql: bytes on disk of each table and index that grows with orders and sales.
select c.relname, case c.relkind when 'i' then pg_relation_size(c.oid) else pg_table_size(c.oid) end
from pg_class c
left join pg_index i on i.indexrelid = c.oid
where coalesce(i.indrelid, c.oid) in ('orders'::regclass, 'sales'::regclass, 'stock'::regclass)
order by coalesce(i.indrelid, c.oid)::regclass::text, c.relkind desc, c.relname
