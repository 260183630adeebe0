-- life/cart.sql: takes and records every item, or nothing. See place_cart() in migrations/.
-- $1 caller, $2 key, $3 cart id, $4 order ids, $5 sales (sorted), $6 buyer, $7 quantities, $8 fingerprint,
-- $9 retry_safe, $10 hold in ms, $11 epochs
select place_cart($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
