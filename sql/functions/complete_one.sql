-- What settle_retries does with one attempt that succeeded, at a third of its price: for those who settle one by one, in the
-- transaction of an effect or from any language. False: stale, nothing changed.
-- Locks: retry_queue, then dead_letter.
create or replace function retryd.complete_one(id bigint, claim_token bigint, seconds float8 default null) returns boolean
language plpgsql volatile security definer
set search_path = retryd, pg_temp
set plan_cache_mode = force_generic_plan  -- planning anew costs more than the call
set enable_seqscan = off  -- a plan made while the tables were empty must not read them whole later
set jit = off
as $$
declare
    ended_handler text;
    ended_key text;
begin
    perform retryd.commit_durably();
    with gone as (
        delete from retryd.retry_queue q
        where q.id = complete_one.id and q.claim_token = complete_one.claim_token
        returning q.*, retryd.now() as at  -- behind a wait for the row
    ), logged as (
        insert into retryd.retry_attempt (retry, life, claim_token, attempt, handler, worker, started_at, ended_at, outcome)
        select g.id, g.life, g.claim_token, g.attempt, g.handler, g.claimed_by,
            case when complete_one.seconds >= 0 then g.at - least(complete_one.seconds, 31622400) * interval '1 s' end, g.at, 'success'
        from gone g
        where not starts_with(g.claimed_by, 'rescue/')
    ), archived as (
        insert into retryd.retry_archive (id, event, handler, policy, priority, ordering_key, attempt, lost_attempts,
            max_retries, snoozes, life, ended, ended_at)
        select g.id, g.event, g.handler, g.policy, g.priority, g.ordering_key, g.attempt, g.lost_attempts,
            g.max_retries, g.snoozes, g.life, 'completed', g.at
        from gone g
    ), closed as (
        update retryd.dead_letter d
        set status = 'resolved', resolved_at = g.at, resolved_by = 'success'
        from gone g
        where d.id = g.id and g.life > 1
    )
    select g.handler, g.ordering_key into ended_handler, ended_key from gone g;

    if not found then
        return false;
    end if;
    if ended_key is not null then
        perform retryd.unpark_retries(array[ended_handler], array[ended_key]);
    end if;
    return true;
end
$$;

revoke all on function retryd.complete_one(bigint, bigint, float8) from public;
grant execute on function retryd.complete_one(bigint, bigint, float8) to retryd_worker;
