-- audit/tally_clear.sql: a tally is put, not added to: the last one counts. $1 sale
delete from tallies where sale_id = $1
