-- strategies/skip_locked.forget.sql: the rows of an epoch that is over. $1 sale, $2 epoch
delete from units where sale_id = $1 and epoch <= $2
