-- What happened to the retry $1, oldest first.
select t.at, t.step, t.life, t.attempt, t.worker, t.outcome, t.seconds, t.error_type, t.error_message, t.error_stack,
    t.next_attempt_at, t.actor, t.reason
from retryd.timeline t
where t.id = $1::bigint
order by t.at, array_position(array['captured', 'attempt', 'buried', 'replayed', 'resolved'], t.step);
