-- Forget up to batch_size events (null: all) captured longer ago than older_than that no retry, live, done or dead, refers
-- to; with them go body and idempotency key. Returns how many.
create or replace function retryd.prune_events(older_than interval, batch_size bigint) returns bigint
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    with orphan as materialized (
        select e.id
        from retryd.failure_event e
        where e.captured_at < (select retryd.now()) - older_than
            and cardinality(retryd.ids_of_event(e.id)) = 0
        order by e.captured_at
        limit batch_size
        for update skip locked
    ), gone as (
        delete from retryd.failure_event e
        where e.id = any(array(select o.id from orphan o))
        returning e.id
    )
    select count(*) from gone
$$;

revoke all on function retryd.prune_events(interval, bigint) from public;
grant execute on function retryd.prune_events(interval, bigint) to retryd_worker;
