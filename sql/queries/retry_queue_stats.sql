-- Live retries per operation, handler and state.
select s.operation, s.handler, s.state, s.count, s.oldest_due,
    extract(epoch from (select retryd.now()) - s.oldest_due)::float8 as oldest_due_seconds, s.attempts
from retryd.retry_queue_stats s
order by s.operation, s.handler, s.state;
