-- strategies/ticket.reissue.sql: new numbers for what the ledger says is unsold, while nobody has drawn and
-- not committed. False: fewer are unsold than are wanted. $1 sale, $2 epoch, $3 units wanted
select reissue_tickets($1, $2, $3)
