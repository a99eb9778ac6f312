-- A worker is idle: ring for what becomes due before it looks again. Returns the seconds until the next retry of its
-- handlers is due, at most poll_seconds, at least 0.
create or replace function retryd.mark_asleep(worker text, poll_seconds float8, handlers text[]) returns float8
language plpgsql volatile security definer
set search_path = retryd, pg_temp
set plan_cache_mode = force_generic_plan  -- planning anew costs more than the call
set enable_seqscan = off  -- a plan made while the tables were empty must not read them whole later
set jit = off
as $$
begin
    insert into retryd.sleeper as s (worker, wakes_at)
    values (mark_asleep.worker, retryd.now() + 2 * poll_seconds * interval '1 s')
    on conflict on constraint sleeper_pkey do update
    set wakes_at = excluded.wakes_at
    where s.wakes_at < excluded.wakes_at - poll_seconds * interval '1 s';

    return (
        select greatest(0, least(poll_seconds, extract(epoch from min(head.next_attempt_at) - retryd.now())::float8))
        from retryd.waiting_priorities() level (priority)
        cross join unnest(mark_asleep.handlers) lane (handler)
        join retryd.retry_handler h on h.name = lane.handler and h.paused_at is null
        cross join lateral (
            select q.next_attempt_at
            from retryd.retry_queue q
            where q.priority = level.priority and q.handler = lane.handler and q.state = 'pending'
            order by q.next_attempt_at
            limit 1
        ) head);
end
$$;

revoke all on function retryd.mark_asleep(text, float8, text[]) from public;
grant execute on function retryd.mark_asleep(text, float8, text[]) to retryd_worker;
