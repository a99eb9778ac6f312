-- Stop a live retry for good; a worker that runs it is fenced and told at its next renewal. False: not live.
-- Locks: retry_queue, then dead_letter.
create or replace function retryd.cancel_retry(id bigint, reason text default null, actor text default session_user)
returns boolean
language plpgsql volatile security definer
set search_path = retryd, pg_temp
as $$
declare
    ended retryd.retry_queue;
begin
    with gone as (
        delete from retryd.retry_queue q
        where q.id = cancel_retry.id
        returning q.*
    ), archived as (
        insert into retryd.retry_archive (id, event, handler, policy, priority, ordering_key, attempt, lost_attempts,
            max_retries, snoozes, life, ended, ended_at, cancelled_by, cancel_reason)
        select g.id, g.event, g.handler, g.policy, g.priority, g.ordering_key, g.attempt, g.lost_attempts, g.max_retries,
            g.snoozes, g.life, 'cancelled', (select retryd.now()), cancel_retry.actor, cancel_retry.reason
        from gone g
    ), closed as (
        update retryd.dead_letter d
        set status = 'resolved', resolved_by = 'cancellation', resolved_at = (select retryd.now()),
            resolved_actor = cancel_retry.actor, resolved_reason = cancel_retry.reason
        where d.id = any(array(select g.id from gone g where g.life > 1))
    )
    select g.* into ended from gone g;
    if ended.id is null then
        return false;
    end if;
    if ended.ordering_key is not null and ended.state <> 'parked' then
        perform retryd.unpark_retries(array[ended.handler], array[ended.ordering_key]);
    end if;
    return true;
end
$$;

revoke all on function retryd.cancel_retry(bigint, text, text) from public;
grant execute on function retryd.cancel_retry(bigint, text, text) to retryd_operator;
