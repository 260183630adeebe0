-- backends/backends.settings.sql: what this server is, and whether a commit is durable.
select current_setting('server_version') as version,
       current_setting('fsync') as fsync,
       current_setting('synchronous_commit') as synchronous_commit
