-- Retries that are live or done, with their bodies; error_type and error_message are of the last failure.
create view retryd.retries as
select r.id, e.event_id, e.event_type, e.operation, r.handler, r.policy, e.source, e.correlation_id,
    coalesce(edit.payload, e.payload) as payload, e.attributes,
    coalesce(last.error_type, e.error_type) as error_type,
    case when last.error_type is null then e.error_message else last.error_message end as error_message,
    r.priority, r.ordering_key, r.place, r.state, r.attempt, r.lost_attempts, r.max_retries, r.life, r.next_attempt_at,
    r.claimed_by, r.lease_expires_at, e.captured_at, r.ended_at
from (
    select q.id, q.event, q.handler, q.policy, q.priority::int as priority, q.ordering_key, 'live' as place, q.state,
        q.attempt, q.lost_attempts, q.max_retries, q.life, q.next_attempt_at, q.claimed_by, q.lease_expires_at,
        null::timestamptz as ended_at
    from retryd.retry_queue q
    union all
    select a.id, a.event, a.handler, a.policy, a.priority::int, a.ordering_key, 'done', a.ended, a.attempt,
        a.lost_attempts, a.max_retries, a.life, null, null, null, a.ended_at
    from retryd.retry_archive a
) r
join retryd.failure_event e on e.id = r.event
left join lateral (
    select p.payload
    from retryd.payload_edit p
    where r.life > 1 and p.retry = r.id and p.life <= r.life
    order by p.life desc, p.id desc
    limit 1
) edit on true
left join lateral (
    select a.error_type, a.error_message
    from retryd.retry_attempt a
    where a.retry = r.id and a.error_type is not null
    order by a.life desc, a.claim_token desc
    limit 1
) last on true;

grant select on retryd.retries to retryd_reader;
