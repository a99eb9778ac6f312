-- Each handler as it is now: its definition, its retries, whether and why it is held, its attempts of the last minute, its
-- open dead letters, the live workers that serve it. A handler of null stands for what is unrouted; one without a kind is
-- not registered any more.
create view retryd.handler_activity as
with live as (
    select l.handler, sum(l.due)::bigint as due, sum(l.waiting)::bigint as waiting,
        sum(l.processing)::bigint as processing, sum(l.parked)::bigint as parked,
        min(l.next_due_at) filter (where l.due > 0) as oldest_due,
        max(l.held) as held, max(l.held_since) as held_since, max(l.held_by) as held_by, max(l.held_reason) as held_reason
    from retryd.lanes l
    group by l.handler
    union all
    select null, count(*) filter (where q.state = 'pending' and q.next_attempt_at <= (select retryd.now())),
        count(*) filter (where q.state = 'pending' and q.next_attempt_at > (select retryd.now())),
        count(*) filter (where q.state = 'processing'), 0,
        min(q.next_attempt_at) filter (where q.state = 'pending' and q.next_attempt_at <= (select retryd.now())),
        null, null, null, null
    from retryd.retry_queue q
    where q.handler is null
    having count(*) > 0
), minute as (
    select a.handler, count(*) as attempts, count(*) filter (where a.outcome = 'success') as succeeded,
        count(*) filter (where a.outcome in ('failure', 'rejected', 'lost')) as failed
    from retryd.retry_attempt a
    -- Two bounds: of an open range the planner expects a third of the table.
    where a.ended_at > (select retryd.now()) - interval '1 min' and a.ended_at < (select retryd.now()) + interval '1 min'
    group by a.handler
), dead as (
    select d.handler, count(*) as count
    from retryd.dead_letter d
    where d.status in ('pending', 'failed')
    group by d.handler
), known as (
    select h.name as handler from retryd.retry_handler h
    union
    select l.handler from live l
    union
    select m.handler from minute m
    union
    select d.handler from dead d
)
select k.handler, h.kind, h.match, h.policy, h.dependency, h.registered_at, coalesce(live.due, 0) as due,
    coalesce(live.waiting, 0) as waiting, coalesce(live.processing, 0) as processing, coalesce(live.parked, 0) as parked,
    live.oldest_due, coalesce(case when h.paused_at is not null then 'paused' end, live.held) as held,
    coalesce(h.paused_at, live.held_since) as held_since, coalesce(h.paused_by, live.held_by) as held_by,
    coalesce(h.pause_reason, live.held_reason) as held_reason, coalesce(minute.attempts, 0) as attempts_1m,
    coalesce(minute.succeeded, 0) as succeeded_1m, coalesce(minute.failed, 0) as failed_1m, coalesce(dead.count, 0) as dead,
    (select count(*) from retryd.workers w where w.alive and k.handler = any(w.handlers)) as workers
from known k
left join retryd.retry_handler h on h.name = k.handler
left join live on live.handler is not distinct from k.handler
left join minute on minute.handler is not distinct from k.handler
left join dead on dead.handler is not distinct from k.handler;

grant select on retryd.handler_activity to retryd_reader;
