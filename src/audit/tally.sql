-- audit/tally.sql: the sums of what clients were told. $1 sale, $2 to $11 as listed
insert into tallies (sale_id, attempts, sold, sold_out, contended, rejected, error, unknown,
                     peak_in_flight, demand_units, sold_out_quantity_min)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
