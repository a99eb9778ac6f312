-- Delete dead letters for good; their events follow with retention. Returns the ids that are gone: not those being retried.
-- Locks: dead_letter by id ascending.
create or replace function retryd.delete_dead_letters(
    ids bigint[], reason text default null, actor text default session_user)
returns setof bigint
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    with dead as materialized (
        select d.id
        from retryd.dead_letter d
        where d.id = any(ids) and d.status <> 'retrying'
        order by d.id
        for update
    ), deleted as (
        delete from retryd.dead_letter d
        where d.id = any(array(select dead.id from dead)) and d.status <> 'retrying'
        returning d.id
    )
    select d.id from deleted d order by d.id
$$;

revoke all on function retryd.delete_dead_letters(bigint[], text, text) from public;
grant execute on function retryd.delete_dead_letters(bigint[], text, text) to retryd_operator;
