-- strategies/ticket.give_back.sql: units come back, or are changed: more numbers are good, or fewer. Nobody
-- draws meanwhile. $1 to $6 what comes back
select change_tickets($1, $2, give_back_apart($1, $2, $3, $4, $5, $6))
