-- Claim for a paused handler again. False: not paused or unknown.
create or replace function retryd.resume_handler(name text, reason text default null, actor text default session_user)
returns boolean
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    with resumed as (
        update retryd.retry_handler h
        set paused_at = null, paused_by = null, pause_reason = null
        where h.name = resume_handler.name and h.paused_at is not null
        returning h.name
    ), rung as (
        select retryd.ring(retryd.now()) from resumed
    )
    select exists (select from resumed) and (select count(*) from rung) >= 0
$$;

revoke all on function retryd.resume_handler(text, text, text) from public;
grant execute on function retryd.resume_handler(text, text, text) to retryd_operator;
