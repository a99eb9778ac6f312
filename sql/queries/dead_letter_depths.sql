-- Dead letters per status.
select d.status, count(*) as count
from retryd.dead_letter d
group by d.status
order by d.status;
