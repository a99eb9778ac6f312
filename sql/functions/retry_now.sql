-- Make a waiting retry due at once. False: running, parked behind another, or not live.
create or replace function retryd.retry_now(id bigint, reason text default null, actor text default session_user)
returns boolean
language plpgsql volatile security definer
set search_path = retryd, pg_temp
as $$
begin
    update retryd.retry_queue q
    set next_attempt_at = (select retryd.now())
    where q.id = retry_now.id and q.state = 'pending';
    if not found then
        return false;
    end if;
    perform retryd.ring(retryd.now());
    return true;
end
$$;

revoke all on function retryd.retry_now(bigint, text, text) from public;
grant execute on function retryd.retry_now(bigint, text, text) to retryd_operator;
