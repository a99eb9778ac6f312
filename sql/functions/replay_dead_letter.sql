-- Put a dead letter back: a new life of the same id, due at once, its counts and its age begun anew; the claim token is
-- never reset. With an ordering key it queues behind what is live. False: not among the dead, nothing changed.
create or replace function retryd.replay_dead_letter(id bigint, reason text default null, actor text default session_user)
returns boolean
language plpgsql volatile security definer
set search_path = retryd, pg_temp
as $$
declare
    revived retryd.retry_queue;
begin
    with reopened as (
        update retryd.dead_letter d
        set status = 'retrying', replays = d.replays + 1, replayed_at = (select retryd.now()), replayed_by = actor,
            replay_reason = replay_dead_letter.reason
        where d.id = replay_dead_letter.id and d.status in ('pending', 'failed')
        returning d.*
    )
    insert into retryd.retry_queue as q (id, event, handler, policy, priority, ordering_key, state, max_retries, life,
        next_attempt_at, give_up_at)
    select r.id, r.event, h.name, r.policy, r.priority, r.ordering_key,
        case when r.ordering_key is null or h.name is null then 'pending' else 'parked' end, r.max_retries, r.life + 1,
        (select retryd.now()), (select retryd.now()) + p.max_age
    from reopened r
    left join retryd.retry_handler h on h.name = r.handler  -- a forgotten one leaves it to who matches
    left join retryd.retry_policy p on p.name = r.policy
    returning q.* into revived;
    if revived.id is null then
        return false;
    end if;
    if revived.state = 'parked' then
        perform retryd.unpark_retries(array[revived.handler], array[revived.ordering_key]);
    elsif revived.handler is null then
        perform retryd.route_unrouted();
    end if;
    perform retryd.ring(revived.next_attempt_at);
    return true;
end
$$;

revoke all on function retryd.replay_dead_letter(bigint, text, text) from public;
grant execute on function retryd.replay_dead_letter(bigint, text, text) to retryd_operator;
