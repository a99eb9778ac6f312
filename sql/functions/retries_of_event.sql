-- The retries that an event has or had, live, done or dead, some of them twice. The first one bears the event's id; the
-- others are found by small partial indexes. Inlined, so it has no search_path of its own.
create or replace function retryd.retries_of_event(event bigint) returns table (id bigint, handler text)
language sql stable
as $$
    select q.id, q.handler from retryd.retry_queue q where q.id = retries_of_event.event
    union all
    select q.id, q.handler from retryd.retry_queue q where q.event = retries_of_event.event and q.event <> q.id
    union all
    select a.id, a.handler from retryd.retry_archive a where a.id = retries_of_event.event
    union all
    select a.id, a.handler from retryd.retry_archive a where a.event = retries_of_event.event and a.event <> a.id
    union all
    select d.id, d.handler from retryd.dead_letter d where d.id = retries_of_event.event and d.status <> 'retrying'
    union all
    select d.id, d.handler
    from retryd.dead_letter d
    where d.event = retries_of_event.event and d.event <> d.id and d.status <> 'retrying'
$$;

revoke all on function retryd.retries_of_event(bigint) from public;
