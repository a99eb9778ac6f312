-- Dead letters per operation, handler, status and reason.
create view retryd.dead_letter_stats as
select e.operation, d.handler, d.status, d.reason, count(*) as count, min(d.dead_at) as first_dead_at,
    max(d.dead_at) as last_dead_at, sum(d.replays)::bigint as replays
from retryd.dead_letter d
join retryd.failure_event e on e.id = d.event
group by e.operation, d.handler, d.status, d.reason;

grant select on retryd.dead_letter_stats to retryd_reader;
