-- Workers that gave a sign of life in the last day, and what they serve; alive: in the last minute.
create view retryd.workers as
select w.id, w.host, w.pid, w.version, array(select jsonb_object_keys(w.handlers) order by 1) as handlers, w.started_at,
    w.seen_at, w.seen_at > (select retryd.now()) - interval '1 min' as alive, w.alert, w.alert_at
from retryd.worker w;

grant select on retryd.workers to retryd_reader;
