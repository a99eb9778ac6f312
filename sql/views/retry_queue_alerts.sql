-- What a person should look at now, worst first.
create view retryd.retry_queue_alerts as
with clock as materialized (
    select retryd.now() as at
), lane as materialized (
    select l.* from retryd.lanes l
), alert as (
    select 'overdue' as kind, 'warning' as severity, l.handler as subject,
        format('%s due at priority %s, the oldest since %s', l.due, l.priority, l.next_due_at) as detail,
        l.next_due_at as since
    from lane l, clock c
    where l.held is null and l.due > 0 and l.next_due_at < c.at - interval '1 min'
    union all
    select 'no_worker', 'critical', l.handler,
        format('%s due, but no live worker serves this handler', sum(l.due)), min(l.next_due_at)
    from lane l, clock c
    join retryd.retry_handler h on true
    where h.name = l.handler and h.kind <> 'external' and l.held is null and l.due > 0
        and l.next_due_at < c.at - interval '30 s'
        and not exists (
            select from retryd.worker w where w.handlers ? l.handler and w.seen_at > c.at - interval '1 min')
    group by l.handler
    union all
    select 'nearly_exhausted', 'warning', l.handler,
        format('%s retries have one attempt left', sum(l.nearly_exhausted)), min(l.nearly_exhausted_due_at)
    from lane l
    where l.nearly_exhausted > 0
    group by l.handler
    union all
    select 'dead_letters_growing', 'critical', d.handler,
        format('%s died in the last hour', count(*)), min(d.dead_at)
    from retryd.dead_letter d, clock c
    where d.status in ('pending', 'failed') and d.dead_at > c.at - interval '1 h'
    group by d.handler
    union all
    select 'unrouted', 'warning', e.operation,
        format('%s retries match no registered handler', count(*)), min(e.captured_at)
    from retryd.retry_queue q
    join retryd.failure_event e on e.id = q.event
    where q.handler is null
    group by e.operation
    union all
    select 'lane_held', case l.held_by when 'retryd/worker' then 'critical' else 'info' end, l.handler,
        case l.held when 'forgotten' then
            format('priority %s is of a handler that is forgotten; forgetting it again frees its retries', l.priority)
        else format('priority %s is %s by %s: %s', l.priority, l.held, l.held_by,
            coalesce(l.held_reason, 'no reason given')) end,
        l.held_since
    from lane l
    where l.held is not null
    union all
    select 'handler_conflict', 'warning', w.name, 'live workers disagree on its definition', min(w.started_at)
    from (
        select w.started_at, d.key as name, d.value as definition
        from clock c
        join retryd.worker w on w.seen_at > c.at - interval '1 min'
        cross join lateral jsonb_each_text(w.handlers) d
    ) w
    group by w.name
    having count(distinct w.definition) > 1
    union all
    select 'worker_alert', 'warning', w.id, w.alert, w.alert_at
    from retryd.worker w, clock c
    where w.alert is not null and w.seen_at > c.at - interval '1 min'
    union all
    select 'old_transaction', 'warning', coalesce(nullif(a.application_name, ''), a.pid::text),
        format('process %s has had a transaction open since %s; vacuum is pinned', a.pid, a.xact_start), a.xact_start
    from pg_stat_activity a, clock c
    where a.datname = current_database() and a.backend_type = 'client backend'
        and a.xact_start < c.at - interval '15 min'
    union all
    select 'default_partition', 'warning', 'retry_attempt_default', 'rows fell into the default partition', min(p.ended_at)
    from retryd.retry_attempt_default p
    having count(*) > 0
    union all
    select 'default_partition', 'warning', 'retry_archive_default', 'rows fell into the default partition', min(p.ended_at)
    from retryd.retry_archive_default p
    having count(*) > 0
)
select a.kind, a.severity, a.subject, a.detail, a.since
from alert a
order by array_position(array['critical', 'warning', 'info'], a.severity), a.since;

grant select on retryd.retry_queue_alerts to retryd_reader;
