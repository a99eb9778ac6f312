-- Live retries per operation, handler and state; attempts is the sum of attempts made.
create view retryd.retry_queue_stats as
select e.operation, q.handler, q.state, count(*) as count,
    min(q.next_attempt_at) filter (where q.state = 'pending' and q.next_attempt_at <= (select retryd.now())) as oldest_due,
    sum(q.attempt)::bigint as attempts
from retryd.retry_queue q
join retryd.failure_event e on e.id = q.event
group by e.operation, q.handler, q.state;

grant select on retryd.retry_queue_stats to retryd_reader;
