-- What claims walk: each handler at each priority that has retries, how many are due, how many have one attempt left, and
-- why the lane is held, if it is. Counts before it joins: the gauges of every worker read this, however much there is.
create view retryd.lanes as
select l.handler, l.priority, l.due, l.waiting, l.processing, l.parked, l.next_due_at,
    case when h.name is null then 'forgotten' when h.paused_at is not null then 'paused' end as held,
    h.paused_at as held_since, h.paused_by as held_by, h.pause_reason as held_reason,
    l.nearly_exhausted, l.nearly_exhausted_due_at
from (
    select q.handler, q.priority::int as priority,
        count(*) filter (where q.state = 'pending' and q.next_attempt_at <= (select retryd.now())) as due,
        count(*) filter (where q.state = 'pending' and q.next_attempt_at > (select retryd.now())) as waiting,
        count(*) filter (where q.state = 'processing') as processing,
        count(*) filter (where q.state = 'parked') as parked,
        min(q.next_attempt_at) filter (where q.state = 'pending') as next_due_at,
        count(*) filter (where q.attempt > 0 and q.attempt - q.lost_attempts = q.max_retries - 1 and q.state = 'pending')
            as nearly_exhausted,
        min(q.next_attempt_at) filter (
            where q.attempt > 0 and q.attempt - q.lost_attempts = q.max_retries - 1 and q.state = 'pending')
            as nearly_exhausted_due_at
    from retryd.retry_queue q
    where q.handler is not null
    group by q.handler, q.priority
) l
left join retryd.retry_handler h on h.name = l.handler;

grant select on retryd.lanes to retryd_reader;
