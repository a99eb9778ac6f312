-- A worker is idle: ring for what becomes due before it looks again. Returns the seconds until the next retry of its
-- handlers is due, at most poll_seconds, at least 0. For workers of the last release; others call look_ahead.
create or replace function retryd.mark_asleep(worker text, poll_seconds float8, handlers text[]) returns float8
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    select greatest(0, least(poll_seconds, min(lane.due_in)))
    from retryd.look_ahead(mark_asleep.worker, mark_asleep.handlers, mark_asleep.poll_seconds) lane
$$;

revoke all on function retryd.mark_asleep(text, float8, text[]) from public;
grant execute on function retryd.mark_asleep(text, float8, text[]) to retryd_worker;
