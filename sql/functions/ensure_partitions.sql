-- Make the daily partitions of retry_attempt and retry_archive from today to days_ahead; returns how many were new. Rows
-- that fell into the default partition meanwhile move into theirs. One maker at a time; gives up after 3 s behind a lock.
create or replace function retryd.ensure_partitions(days_ahead int default 7) returns int
language plpgsql volatile security definer
set search_path = retryd, pg_temp
set lock_timeout = '3s'
set timezone = 'UTC'
as $$
declare
    parent text;
    day date;
    part text;
    made int := 0;
begin
    perform pg_advisory_xact_lock(hashtextextended('retryd.ensure_partitions', 7387));
    foreach parent in array array['retry_attempt', 'retry_archive'] loop
        for day in select (retryd.now()::date + n) from generate_series(0, days_ahead) n loop
            part := format('%s_%s', parent, to_char(day, 'YYYYMMDD'));
            continue when to_regclass('retryd.' || part) is not null;
            execute format('create table retryd.%I (like retryd.%I including defaults including constraints)', part, parent);
            execute format('with moved as (delete from retryd.%I where ended_at >= %L and ended_at < %L returning *)
                insert into retryd.%I select * from moved', parent || '_default', day, day + 1, part);
            execute format('alter table retryd.%I attach partition retryd.%I for values from (%L) to (%L)',
                parent, part, day, day + 1);
            made := made + 1;
        end loop;
    end loop;
    return made;
end
$$;

revoke all on function retryd.ensure_partitions(int) from public;
grant execute on function retryd.ensure_partitions(int) to retryd_worker;
