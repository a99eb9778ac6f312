-- Drop the daily partitions of a table that are wholly older than older_than; returns the rows that went. What is left of a
-- day goes with its last hour, or at once when exact. A partition behind a lock stays for the next time.
create or replace function retryd.drop_partitions(parent text, older_than interval, exact boolean) returns bigint
language plpgsql volatile
set search_path = retryd, pg_temp
set lock_timeout = '300ms'  -- settlements queue behind a drop that waits
set timezone = 'UTC'
as $$
declare
    cut timestamptz := retryd.now() - older_than;
    part text;
    counted bigint;
    gone bigint := 0;
begin
    for part in
        select c.relname
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = to_regclass('retryd.' || parent)
            and c.relname ~ '_[0-9]{8}$'
            and to_date(right(c.relname, 8), 'YYYYMMDD') + 1 <= cut
    loop
        begin
            execute format('select count(*) from retryd.%I', part) into counted;
            execute format('drop table retryd.%I', part);
            gone := gone + counted;
        exception when lock_not_available or undefined_table then
            raise notice 'partition % is in use, or gone already', part;
        end;
    end loop;
    execute format('delete from retryd.%I where ended_at < %L', parent || case when exact then '' else '_default' end, cut);
    get diagnostics counted = row_count;
    return gone + counted;
end
$$;

revoke all on function retryd.drop_partitions(text, interval, boolean) from public;
