-- strategies/stripes.forget.sql: the stripes of an epoch that is over. $1 sale, $2 epoch
delete from stripes where sale_id = $1 and epoch <= $2
