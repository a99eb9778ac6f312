-- Each registered handler: its retries now, its attempts of the last hour.
select s.handler, s.kind, s.match, s.policy, s.registered_at, s.paused_at, s.due, s.waiting, s.processing, s.parked, s.dead,
    s.succeeded_1h, s.failed_1h, s.seconds_avg_1h
from retryd.handler_stats s
order by s.handler;
