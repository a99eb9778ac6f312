-- Live retries per operation, handler and state.
select s.operation, s.handler, s.state, s.count, s.oldest_due, s.attempts
from retryd.retry_queue_stats s
order by s.operation, s.handler, s.state;
