-- The handlers that have or had a retry of an event, some of them twice. Inlined into routing, so it has no search_path of
-- its own.
create or replace function retryd.handlers_of_event(event bigint) returns setof text
language sql stable
as $$
    select q.handler from retryd.retry_queue q where q.id = handlers_of_event.event
    union all
    select q.handler from retryd.retry_queue q where q.event = handlers_of_event.event and q.event <> q.id
    union all
    select a.handler from retryd.retry_archive a where a.id = handlers_of_event.event
    union all
    select a.handler from retryd.retry_archive a where a.event = handlers_of_event.event and a.event <> a.id
    union all
    select d.handler from retryd.dead_letter d where d.id = handlers_of_event.event and d.status <> 'retrying'
    union all
    select d.handler from retryd.dead_letter d
    where d.event = handlers_of_event.event and d.event <> d.id and d.status <> 'retrying'
$$;

revoke all on function retryd.handlers_of_event(bigint) from public;
