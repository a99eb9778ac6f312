-- What a person should look at now, worst first.
select a.kind, a.severity, a.subject, a.detail, a.since
from retryd.retry_queue_alerts a
order by array_position(array['critical', 'warning', 'info'], a.severity), a.since, a.kind, a.subject;
