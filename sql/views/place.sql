-- Where each retry is: live, done or dead; exactly one of them, until retention or a delete removes it.
create view retryd.place as
select q.id, 'live' as place
from retryd.retry_queue q
union all
select a.id, 'done'
from retryd.retry_archive a
union all
select d.id, 'dead'
from retryd.dead_letter d
where d.status in ('pending', 'failed') or (d.status = 'resolved' and d.resolved_by = 'person');

grant select on retryd.place to retryd_reader;
