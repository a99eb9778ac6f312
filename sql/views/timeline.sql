-- What happened to a retry, as far as it is still known: captured with the failure that came in, each ended attempt, its
-- latest death and replay, and how it ended. Filter by id; rows of one instant come in the order of the steps below.
create view retryd.timeline as
select r.id, e.captured_at as at, 'captured' as step, 1 as life, null::int as attempt, null::text as worker,
    null::text as outcome, null::float8 as seconds, e.error_type, e.error_message, e.error_stack,
    null::timestamptz as next_attempt_at, null::text as actor, null::text as reason
from (
    select q.id, q.event from retryd.retry_queue q
    union
    select a.id, a.event from retryd.retry_archive a
    union
    select d.id, d.event from retryd.dead_letter d
) r
join retryd.failure_event e on e.id = r.event
union all
select a.retry, a.ended_at, 'attempt', a.life, a.attempt, a.worker, a.outcome,
    extract(epoch from a.ended_at - a.started_at)::float8, a.error_type, a.error_message, a.error_stack, a.next_attempt_at,
    null, null
from retryd.retry_attempt a
union all
select d.id, d.dead_at, 'buried', d.life, d.attempt, null, null, null, d.error_type, d.error_message, d.error_stack, null,
    null, d.reason
from retryd.dead_letter d
union all
select d.id, d.replayed_at, 'replayed', d.replays + 1, null, null, null, null, null, null, null, null, d.replayed_by,
    d.replay_reason
from retryd.dead_letter d
where d.replayed_at is not null
union all
select d.id, d.resolved_at, 'resolved', d.life, null, null, null, null, null, null, null, null, d.resolved_actor,
    d.resolved_reason
from retryd.dead_letter d
where d.resolved_by = 'person'
union all
select a.id, a.ended_at, a.ended, a.life, a.attempt, null, null, null, null, null, null, null, a.cancelled_by,
    a.cancel_reason
from retryd.retry_archive a;

grant select on retryd.timeline to retryd_reader;
