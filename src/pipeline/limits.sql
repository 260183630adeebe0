-- pipeline/limits.sql: for this transaction alone: a refill of millions of orders may take longer than an
-- order, and goes by the index of its sale. In a large ledger the planner may take a sale of which it knows
-- nothing for a large part of it, and read the orders of all others too.
select set_config('statement_timeout', '0', true), set_config('enable_seqscan', 'off', true)
