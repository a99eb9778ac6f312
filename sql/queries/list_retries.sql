-- Live and done retries, newest first: at most $6 with ids below $5 (null: from the newest on). Null takes all: place $1,
-- state $2, handler $3, pattern of the operation $4.
select r.id, r.event_id, r.event_type, r.operation, r.handler, r.policy, r.source, r.correlation_id, r.payload,
    r.attributes, r.error_type, r.error_message, r.priority, r.ordering_key, r.place, r.state, r.attempt, r.lost_attempts,
    r.max_retries, r.life, r.next_attempt_at, r.claimed_by, r.lease_expires_at, r.captured_at, r.ended_at
from retryd.retries r
where r.id < coalesce($5::bigint, 9223372036854775807)
    and ($1::text is null or r.place = $1)
    and ($2::text is null or r.state = $2)
    and ($3::text is null or r.handler = $3)
    and ($4::text is null or retryd.matches($4, r.operation))
order by r.id desc
limit $6::int;
