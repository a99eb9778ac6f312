-- True if a retry of the handlers $1 is live, due or not; else no row.
select true as any_live
from retryd.retries r
where r.place = 'live' and r.handler = any($1::text[])
limit 1;
