-- Forget dead letters that died longer ago than older_than, all or only resolved ones, never one being retried; returns how
-- many.
create or replace function retryd.prune_dead_letters(older_than interval, only_resolved boolean default false) returns bigint
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    with gone as (
        delete from retryd.dead_letter d
        where d.dead_at < (select retryd.now()) - older_than
            and case when only_resolved then d.status = 'resolved' else d.status <> 'retrying' end
        returning d.id
    )
    select count(*) from gone
$$;

revoke all on function retryd.prune_dead_letters(interval, boolean) from public;
grant execute on function retryd.prune_dead_letters(interval, boolean) to retryd_worker;
