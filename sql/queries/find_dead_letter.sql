-- The case file of the retry $1; no row if it never died.
select d.id, d.event_id, d.event_type, d.operation, d.handler, d.policy, d.source, d.correlation_id, d.payload,
    d.attributes, d.error_type, d.error_message, d.error_stack, d.priority, d.ordering_key, d.place, d.status, d.reason,
    d.attempt, d.lost_attempts, d.max_retries, d.life, d.replays, d.replayed_at, d.dead_at, d.resolved_by, d.resolved_at,
    d.captured_at
from retryd.dead_letters d
where d.id = $1::bigint;
