-- Forget up to batch_size events (null: all) captured longer ago than older_than that no retry, live, done or dead, refers
-- to; with them go body and idempotency key. Returns how many. Walks by id, which is nearly the order of their time, and
-- ends where a thousand in a row are younger: an index on the time would cost each capture. What was imported with an old
-- time goes when what was captured before the import does.
create or replace function retryd.prune_events(older_than interval, batch_size bigint) returns bigint
language plpgsql volatile security definer
set search_path = retryd, pg_temp
as $$
declare
    horizon constant timestamptz := retryd.now() - older_than;
    total bigint := 0;
    step record;
    walked bigint := 0;
begin
    loop
        with page as materialized (
            select e.id, e.captured_at < horizon as is_old
            from retryd.failure_event e
            where e.id > walked
            order by e.id
            limit 1000
        ), orphan as materialized (
            select e.id
            from retryd.failure_event e
            where e.id = any(array(select p.id from page p where p.is_old))
                and not exists (select from retryd.retries_of_event(e.id))
            order by e.id
            limit batch_size - total
            for update skip locked
        ), gone as (
            delete from retryd.failure_event e
            where e.id = any(array(select o.id from orphan o))
            returning e.id
        )
        select max(p.id) as last, bool_or(p.is_old) as has_old, (select count(*) from gone) as gone
        into step
        from page p;
        total := total + step.gone;
        exit when step.has_old is not true or total >= batch_size;
        walked := step.last;
    end loop;
    return total;
end
$$;

revoke all on function retryd.prune_events(interval, bigint) from public;
grant execute on function retryd.prune_events(interval, bigint) to retryd_worker;
