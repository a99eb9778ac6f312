-- The case files of retries that died: why, of what, how often replayed, and how it ended.
create view retryd.dead_letters as
select d.id, e.event_id, e.event_type, e.operation, d.handler, d.policy, e.source, e.correlation_id,
    coalesce(edit.payload, e.payload) as payload, e.attributes, d.error_type, d.error_message, d.error_stack,
    d.priority::int as priority, d.ordering_key,
    case
        when d.status = 'retrying' then 'live'
        when d.status = 'resolved' and d.resolved_by <> 'person' then 'done'
        else 'dead'
    end as place,
    d.status, d.reason, d.attempt, d.lost_attempts, d.max_retries, d.life, d.replays, d.replayed_at, d.dead_at,
    d.resolved_by, d.resolved_at, e.captured_at
from retryd.dead_letter d
join retryd.failure_event e on e.id = d.event
left join lateral (
    select p.payload
    from retryd.payload_edit p
    where p.retry = d.id
    order by p.life desc, p.id desc
    limit 1
) edit on true;

grant select on retryd.dead_letters to retryd_reader;
