-- Dead letters per operation, handler, status and reason.
select s.operation, s.handler, s.status, s.reason, s.count, s.first_dead_at, s.last_dead_at, s.replays
from retryd.dead_letter_stats s
order by s.operation, s.handler, s.status, s.reason;
