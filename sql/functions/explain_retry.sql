-- Why a retry is not running: a row for each thing that stands in its way, else what it is: running, due, done, dead. No
-- row: the id is unknown. since and until bound a reason in time where that is known; holds are read from the view lanes.
create or replace function retryd.explain_retry(id bigint)
returns table (reason text, detail text, since timestamptz, until timestamptz)
language sql stable security definer
set search_path = retryd, pg_temp
as $$
    with live as materialized (
        select q.*, e.operation, e.captured_at, h.kind, c.at, starts_with(q.claimed_by, 'rescue/') as rescue,
            format('attempt %s of %s',
                q.attempt - q.lost_attempts + case q.state when 'processing' then 0 else 1 end, q.max_retries) as attempt_of
        from (select retryd.now() as at) c
        join retryd.retry_queue q on q.id = explain_retry.id
        join retryd.failure_event e on e.id = q.event
        left join retryd.retry_handler h on h.name = q.handler
    ), obstacle as (
        select 1 as nth, 'running' as reason,
            case when l.rescue then format('worker %s settles an attempt that was lost', substr(l.claimed_by, 8))
                else format('worker %s makes %s', l.claimed_by, l.attempt_of) end as detail,
            null::timestamptz as since, l.lease_expires_at as until
        from live l
        where l.state = 'processing' and l.lease_expires_at > l.at
        union all
        select 2, 'lease_expired', format('worker %s fell silent; the next worker that looks takes it over',
            case when l.rescue then substr(l.claimed_by, 8) else l.claimed_by end), l.lease_expires_at, null
        from live l
        where l.state = 'processing' and l.lease_expires_at <= l.at
        union all
        select 3, 'parked', w.detail, l.captured_at, null
        from live l
        cross join lateral retryd.explain_wait(l.handler, l.ordering_key, l.id) w (detail)
        where l.state = 'parked'
        union all
        select 4, 'unrouted', format('no registered handler matches the operation %s', l.operation), l.captured_at, null
        from live l
        where l.handler is null and l.state <> 'processing'
        union all
        select 5, 'too_old', 'its age limit has passed; the next worker that looks moves it to the dead letters',
            l.give_up_at, null
        from live l
        where l.state <> 'processing' and l.give_up_at <= l.at
        union all
        select 6, 'not_due', case when l.give_up_at <= l.next_attempt_at
                then 'its age limit ends before it is due; it goes to the dead letters then'
                else format('%s is due then', l.attempt_of) end, null, least(l.next_attempt_at, l.give_up_at)
        from live l
        where l.state = 'pending' and l.next_attempt_at > l.at and (l.give_up_at > l.at) is not false
        union all
        select 7, 'lane_held', format('handler %s at priority %s is %s%s%s', l.handler, l.priority, lane.held,
            ' by ' || lane.held_by, ': ' || lane.held_reason), lane.held_since, null
        from live l
        join retryd.lanes lane on lane.handler = l.handler and lane.priority = l.priority
        where l.state <> 'processing' and lane.held is not null
        union all
        select 8, 'no_worker', format('no live worker serves handler %s', l.handler), null, null
        from live l
        where l.state <> 'processing' and l.kind <> 'external'
            and not exists (select from retryd.workers w where w.alive and l.handler = any(w.handlers))
    ), found as (
        select o.* from obstacle o
        union all
        select 9, 'due', retryd.explain_turn(l.handler, l.priority, l.next_attempt_at, l.id), l.next_attempt_at, null
        from live l
        where not exists (select from obstacle)
        union all
        select 10, e.reason, e.detail, e.since, null
        from retryd.explain_end(explain_retry.id) e
    )
    select f.reason, f.detail, f.since, f.until
    from found f
    order by f.nth
$$;

revoke all on function retryd.explain_retry(bigint) from public;
grant execute on function retryd.explain_retry(bigint) to retryd_reader;
