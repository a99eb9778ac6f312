-- Forget workers that gave no sign of life for a day, and what they left in the list of sleepers; returns how many.
create or replace function retryd.prune_workers() returns bigint
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    delete from retryd.sleeper s where s.wakes_at < (select retryd.now()) - interval '1 h';
    with gone as (
        delete from retryd.worker w where w.seen_at < (select retryd.now()) - interval '1 day' returning w.id
    )
    select count(*) from gone;
$$;

revoke all on function retryd.prune_workers() from public;
grant execute on function retryd.prune_workers() to retryd_worker;
