-- strategies/ticket.forget.sql: the sequence of a sale that is sold another way by now. $1 sale, $2 epoch
select forget_tickets($1, $2)
