-- audit/limits.sql: for this transaction alone: an audit of millions of orders may take longer than an order,
-- sums in memory, and is not worth being compiled, which took longer than to run it. $1 milliseconds
select set_config('statement_timeout', $1, true), set_config('work_mem', '64MB', true),
       set_config('jit', 'off', true)
