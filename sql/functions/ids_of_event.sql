-- The ids of an event's retries that exist now: live, done or dead. The first one bears the event's id; the others are
-- found by small partial indexes.
create or replace function retryd.ids_of_event(event bigint) returns bigint[]
language sql stable
set search_path = retryd, pg_temp
as $$
    select coalesce(array_agg(distinct place.id order by place.id), '{}')
    from (
        select q.id from retryd.retry_queue q where q.id = ids_of_event.event
        union all
        select q.id from retryd.retry_queue q where q.event = ids_of_event.event and q.event <> q.id
        union all
        select a.id from retryd.retry_archive a where a.id = ids_of_event.event
        union all
        select a.id from retryd.retry_archive a where a.event = ids_of_event.event and a.event <> a.id
        union all
        select d.id from retryd.dead_letter d where d.id = ids_of_event.event and d.status <> 'retrying'
        union all
        select d.id from retryd.dead_letter d
        where d.event = ids_of_event.event and d.event <> d.id and d.status <> 'retrying'
    ) place
$$;

revoke all on function retryd.ids_of_event(bigint) from public;
