-- What fails for the same reason: open dead letters and failing live retries of one operation, handler and error, with
-- digits of the message taken out so that ids and numbers do not split a group.
create view retryd.failure_groups as
select md5(concat_ws(chr(1), f.operation, f.handler, f.error_type, f.shape)) as fingerprint,
    f.operation, f.handler, f.error_type, f.shape as error_shape, max(f.error_message) as example,
    count(*) filter (where f.dead) as dead, count(*) filter (where not f.dead) as failing,
    min(f.seen_at) as first_seen_at, max(f.seen_at) as last_seen_at
from (
    select e.operation, d.handler, d.error_type, d.error_message, d.dead_at as seen_at, true as dead,
        left(regexp_replace(d.error_message, '[0-9]+', '#', 'g'), 200) as shape
    from retryd.dead_letter d
    join retryd.failure_event e on e.id = d.event
    where d.status in ('pending', 'failed')
    union all
    select e.operation, q.handler, last.error_type, last.error_message, last.ended_at, false,
        left(regexp_replace(last.error_message, '[0-9]+', '#', 'g'), 200)
    from retryd.retry_queue q
    join retryd.failure_event e on e.id = q.event
    cross join lateral (
        select a.error_type, a.error_message, a.ended_at
        from retryd.retry_attempt a
        where q.attempt > 0 and a.retry = q.id and a.error_type is not null
        order by a.life desc, a.claim_token desc
        limit 1
    ) last
) f
group by f.operation, f.handler, f.error_type, f.shape;

grant select on retryd.failure_groups to retryd_reader;
