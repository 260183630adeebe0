-- The counter that the PostgreSQL strategies fight over. It is what a strategy believes, not the truth.
--
-- No check (units_left >= 0) on purpose: it would turn the oversell of an unguarded decrement into an
-- error and hide it, and it could never see a lost update, after which the counter looks healthy.

create table stock (
    -- No foreign key: the counter is written first and the sale row last; a sale that exists can sell.
    sale_id    uuid   primary key,
    units_left bigint not null,
    version    bigint not null default 0
)
-- The one hot row is rewritten for every order; room on its page keeps those updates off the index.
with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
