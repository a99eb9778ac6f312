-- What claims walk: each handler at each priority that has retries, how many are due, and why the lane is held, if it is.
create view retryd.lanes as
select q.handler, q.priority::int as priority,
    count(*) filter (where q.state = 'pending' and q.next_attempt_at <= (select retryd.now())) as due,
    count(*) filter (where q.state = 'pending' and q.next_attempt_at > (select retryd.now())) as waiting,
    count(*) filter (where q.state = 'processing') as processing,
    count(*) filter (where q.state = 'parked') as parked,
    min(q.next_attempt_at) filter (where q.state = 'pending') as next_due_at,
    case when h.name is null then 'forgotten' when h.paused_at is not null then 'paused' end as held,
    h.paused_at as held_since, h.paused_by as held_by, h.pause_reason as held_reason
from retryd.retry_queue q
left join retryd.retry_handler h on h.name = q.handler
where q.handler is not null
group by q.handler, q.priority, h.name, h.paused_at, h.paused_by, h.pause_reason;

grant select on retryd.lanes to retryd_reader;
