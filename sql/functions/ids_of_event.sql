-- The ids of an event's retries that exist now, in order.
create or replace function retryd.ids_of_event(event bigint) returns bigint[]
language sql stable
set search_path = retryd, pg_temp
as $$
    select coalesce(array_agg(distinct r.id order by r.id), '{}')
    from retryd.retries_of_event(ids_of_event.event) r
$$;

revoke all on function retryd.ids_of_event(bigint) from public;
