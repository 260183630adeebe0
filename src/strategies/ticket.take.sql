-- strategies/ticket.take.sql: records the order, and then draws a number for each of its units: whoever is
-- refused for his key or his limit has drawn none. A number beyond the limit undoes the record.
-- $1 to $10 the order
select numbers,
       case numbers when 'some' then
           draw_tickets($4, $6, record_order($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)) end
from tickets_left($4, $10, $6) as numbers
