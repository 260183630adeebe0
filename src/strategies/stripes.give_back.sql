-- strategies/stripes.give_back.sql: units come back, or are changed, and all stripes are evened out. Nobody
-- takes meanwhile. $1 to $6 what comes back
select spread_over_stripes($1, $2, give_back_apart($1, $2, $3, $4, $5, $6))
