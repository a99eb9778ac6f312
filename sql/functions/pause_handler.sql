-- Stop claiming for a handler; running attempts end, nothing is spent. False: paused already or unknown.
create or replace function retryd.pause_handler(name text, reason text default null, actor text default session_user)
returns boolean
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    with paused as (
        update retryd.retry_handler h
        set paused_at = (select retryd.now()), paused_by = pause_handler.actor, pause_reason = pause_handler.reason
        where h.name = pause_handler.name and h.paused_at is null
        returning h.name
    )
    select exists (select from paused)
$$;

revoke all on function retryd.pause_handler(text, text, text) from public;
grant execute on function retryd.pause_handler(text, text, text) to retryd_operator, retryd_worker;
