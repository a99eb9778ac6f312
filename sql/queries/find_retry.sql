-- The retry $1 wherever it is, with the columns of the view retries: live, done or dead. Place is null where retention
-- has removed the retry and left its case file. No row: the id is unknown, or nothing of it is kept.
select r.id, r.event_id, r.event_type, r.operation, r.handler, r.policy, r.source, r.correlation_id, r.payload,
    r.attributes, r.error_type, r.error_message, r.priority, r.ordering_key, r.place, r.state, r.attempt, r.lost_attempts,
    r.max_retries, r.life, r.next_attempt_at, r.claimed_by, r.lease_expires_at, r.captured_at, r.ended_at
from retryd.retries r
where r.id = $1::bigint
union all
select d.id, d.event_id, d.event_type, d.operation, d.handler, d.policy, d.source, d.correlation_id, d.payload,
    d.attributes, d.error_type, d.error_message, d.priority, d.ordering_key, p.place, null, d.attempt, d.lost_attempts,
    d.max_retries, d.life, null, null, null, d.captured_at, d.dead_at
from retryd.dead_letters d
left join retryd.place p on p.id = d.id
where d.id = $1::bigint and not exists (select from retryd.retries r where r.id = $1::bigint);
