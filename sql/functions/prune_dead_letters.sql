-- Forget dead letters that died longer ago than older_than, all or only resolved ones, never one being retried; returns how
-- many. Locks: dead_letter by id ascending.
create or replace function retryd.prune_dead_letters(older_than interval, only_resolved boolean default false) returns bigint
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    with old as materialized (
        select d.id
        from retryd.dead_letter d
        where d.dead_at < (select retryd.now()) - older_than
            and case when only_resolved then d.status = 'resolved' else d.status <> 'retrying' end
        order by d.id
        for update
    ), gone as (
        delete from retryd.dead_letter d
        where d.id = any(array(select o.id from old o))
        returning d.id
    )
    select count(*) from gone
$$;

revoke all on function retryd.prune_dead_letters(interval, boolean) from public;
grant execute on function retryd.prune_dead_letters(interval, boolean) to retryd_worker;
