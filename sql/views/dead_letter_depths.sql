-- Dead letters per status.
create view retryd.dead_letter_depths as
select d.status, count(*) as count
from retryd.dead_letter d
group by d.status;

grant select on retryd.dead_letter_depths to retryd_reader;
