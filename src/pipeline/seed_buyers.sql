-- pipeline/seed_buyers.sql: what each buyer has, for Redis to remember. $1 sale
select buyer_id, units from buyer_units where sale_id = $1 and units > 0
