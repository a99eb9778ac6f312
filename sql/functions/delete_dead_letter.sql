-- Delete a dead letter for good; its event follows with retention. False: being retried, or no dead letter.
create or replace function retryd.delete_dead_letter(id bigint, reason text default null, actor text default session_user)
returns boolean
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    with deleted as (
        delete from retryd.dead_letter d
        where d.id = delete_dead_letter.id and d.status <> 'retrying'
        returning d.id
    )
    select exists (select from deleted)
$$;

revoke all on function retryd.delete_dead_letter(bigint, text, text) from public;
grant execute on function retryd.delete_dead_letter(bigint, text, text) to retryd_operator;
