-- The server as this user meets it: which it is, whether it may be written to, and what time it has.
select
    current_user::text as role,
    current_database()::text as database,
    current_setting('server_version') as version,
    current_setting('server_version_num')::int / 10000 as major,
    pg_is_in_recovery() as standby,
    current_setting('transaction_read_only') = 'on' as read_only,
    clock_timestamp() as clock;
