-- Workers of the last day, the newest first.
select w.id, w.host, w.pid, w.version, w.handlers, w.started_at, w.seen_at, w.alive, w.alert, w.alert_at
from retryd.workers w
order by w.started_at desc, w.id;
