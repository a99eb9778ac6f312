-- Close a dead letter without another attempt. False: being retried or resolved already, or no dead letter.
create or replace function retryd.resolve_dead_letter(id bigint, reason text default null, actor text default session_user)
returns boolean
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    with resolved as (
        update retryd.dead_letter d
        set status = 'resolved', resolved_by = 'person', resolved_at = (select retryd.now()),
            resolved_actor = resolve_dead_letter.actor, resolved_reason = resolve_dead_letter.reason
        where d.id = resolve_dead_letter.id and d.status in ('pending', 'failed')
        returning d.id
    )
    select exists (select from resolved)
$$;

revoke all on function retryd.resolve_dead_letter(bigint, text, text) from public;
grant execute on function retryd.resolve_dead_letter(bigint, text, text) to retryd_operator;
