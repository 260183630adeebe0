-- strategies/stripes.gather.sql: waits for stripes that others hold, gathers the units from as many as it
-- takes, and records the order. No row: all of them together have too few.
-- $1 to $10 the order
select record_order($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
where gather_stripes($4, $10, $6)
