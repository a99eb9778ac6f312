-- Each dead letter that is not being retried as the line of JSON that import_dead_letters takes back, here or elsewhere.
-- bytes: about how much of it is stored, cheap to ask.
create view retryd.dead_letter_export as
select d.id, d.status, d.reason, d.handler, e.operation, d.dead_at,
    pg_column_size(e.payload) + pg_column_size(e.attributes)
    + coalesce(pg_column_size(d.error_stack), 0) + coalesce(pg_column_size(e.raw), 0) as bytes,
    (
        select row_to_json(f)
        from (
            select d.id, e.event_type, e.event_id, e.source, e.correlation_id, d.handler, d.status, d.reason,
                d.error_type, d.error_message, d.error_stack, e.payload, e.attributes,
                d.policy, d.priority, d.ordering_key, d.attempt, d.lost_attempts, d.max_retries, d.snoozes, d.life,
                e.occurred_at, e.captured_at, d.dead_at, d.replays, d.replayed_at, d.replayed_by, d.replay_reason,
                d.resolved_by, d.resolved_at, d.resolved_actor, d.resolved_reason, e.error_type as event_error_type,
                e.error_message as event_error_message, e.error_stack as event_error_stack,
                translate(encode(e.raw, 'base64'), chr(10), '') as raw
        ) f
    ) as line
from retryd.dead_letter d
join retryd.failure_event e on e.id = d.event
where d.status <> 'retrying';

grant select on retryd.dead_letter_export to retryd_reader;
