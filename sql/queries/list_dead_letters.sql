-- Dead letters, newest ids first: at most $6 with ids below $5 (null: from the newest on). Null takes all: statuses $1,
-- reason $2, handler $3, pattern of the operation $4.
select d.id, d.event_id, d.event_type, d.operation, d.handler, d.policy, d.source, d.correlation_id, d.payload,
    d.attributes, d.error_type, d.error_message, d.error_stack, d.priority, d.ordering_key, d.place, d.status, d.reason,
    d.attempt, d.lost_attempts, d.max_retries, d.life, d.replays, d.replayed_at, d.dead_at, d.resolved_by, d.resolved_at,
    d.captured_at
from retryd.dead_letters d
where d.id < coalesce($5::bigint, 9223372036854775807)
    and ($1::text[] is null or d.status = any($1))
    and ($2::text is null or d.reason = $2)
    and ($3::text is null or d.handler = $3)
    and ($4::text is null or retryd.matches($4, d.operation))
order by d.id desc
limit $6::int;
