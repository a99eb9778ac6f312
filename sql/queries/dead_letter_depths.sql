-- Dead letters per status.
select d.status, d.count
from retryd.dead_letter_depths d
order by d.status;
