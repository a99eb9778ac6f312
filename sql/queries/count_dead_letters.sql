-- How many dead letters there are per handler, operation, status and reason, most first. Null takes all: statuses $1,
-- reason $2, handler $3, pattern of the operation $4, died longer ago than $5.
select d.handler, d.operation, d.status, d.reason, count(d.id) as count, min(d.dead_at) as first_dead_at,
    max(d.dead_at) as last_dead_at
from retryd.dead_letters d
where ($1::text[] is null or d.status = any($1))
    and ($2::text is null or d.reason = $2)
    and ($3::text is null or d.handler = $3)
    and ($4::text is null or retryd.matches($4, d.operation))
    and ($5::interval is null or d.dead_at < (select retryd.now()) - $5)
group by d.handler, d.operation, d.status, d.reason
order by count desc, d.handler, d.operation, d.status, d.reason;
