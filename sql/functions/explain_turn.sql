-- How many due retries of its handler a due retry has before it, counted to 10,000, and who serves them, in words.
-- A part of explain_retry.
create or replace function retryd.explain_turn(handler text, priority smallint, due timestamptz, id bigint) returns text
language sql stable
set search_path = retryd, pg_temp
as $$
    select format('%s due retries of handler %s are before it; ',
            case when ahead.count > 10000 then 'more than 10000' else ahead.count::text end, explain_turn.handler)
        || case when h.kind = 'external' then 'the handler is external: a worker of yours has to claim it'
            else format('live workers that serve it: %s', (
                select count(*) from retryd.workers w where w.alive and explain_turn.handler = any(w.handlers))) end
    from retryd.retry_handler h
    cross join lateral (
        select count(*) as count
        from (
            select
            from retryd.retry_queue q
            where q.handler = explain_turn.handler and q.state = 'pending' and q.next_attempt_at <= (select retryd.now())
                and (q.priority, q.next_attempt_at, q.id) < (explain_turn.priority, explain_turn.due, explain_turn.id)
            limit 10001
        ) q
    ) ahead
    where h.name = explain_turn.handler
$$;

revoke all on function retryd.explain_turn(text, smallint, timestamptz, bigint) from public;
