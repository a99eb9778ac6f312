-- Each registered handler at a glance: its retries now, and its attempts of the last hour.
create view retryd.handler_stats as
select h.name as handler, h.kind, h.match, h.policy, h.registered_at, h.paused_at,
    coalesce(live.due, 0) as due, coalesce(live.waiting, 0) as waiting, coalesce(live.processing, 0) as processing,
    coalesce(live.parked, 0) as parked, coalesce(dead.count, 0) as dead, coalesce(hour.succeeded, 0) as succeeded_1h,
    coalesce(hour.failed, 0) as failed_1h, hour.seconds_avg as seconds_avg_1h
from retryd.retry_handler h
left join (
    select l.handler, sum(l.due)::bigint as due, sum(l.waiting)::bigint as waiting,
        sum(l.processing)::bigint as processing, sum(l.parked)::bigint as parked
    from retryd.lanes l
    group by l.handler
) live on live.handler = h.name
left join (
    select d.handler, count(*) as count
    from retryd.dead_letter d
    where d.status in ('pending', 'failed')
    group by d.handler
) dead on dead.handler = h.name
left join (
    select a.handler, count(*) filter (where a.outcome = 'success') as succeeded,
        count(*) filter (where a.outcome in ('failure', 'rejected', 'lost')) as failed,
        avg(extract(epoch from a.ended_at - a.started_at))::float8 as seconds_avg
    from retryd.retry_attempt a
    where a.ended_at > (select retryd.now()) - interval '1 h'
    group by a.handler
) hour on hour.handler = h.name;

grant select on retryd.handler_stats to retryd_reader;
