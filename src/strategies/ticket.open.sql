-- strategies/ticket.open.sql: a sequence for the sale, and as many numbers as there are units.
-- $1 sale, $2 epoch, $3 units of a sale that is only being opened
select open_tickets($1, $2, $3)
