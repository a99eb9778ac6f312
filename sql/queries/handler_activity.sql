-- Each handler as it is now; of null: what is unrouted.
select a.handler, a.kind, a.match, a.policy, a.dependency, a.registered_at, a.due, a.waiting, a.processing, a.parked,
    a.oldest_due, extract(epoch from (select retryd.now()) - a.oldest_due)::float8 as oldest_due_seconds, a.held,
    a.held_since, a.held_by, a.held_reason, a.attempts_1m, a.succeeded_1m, a.failed_1m, a.dead, a.workers
from retryd.handler_activity a
order by a.handler nulls first;
