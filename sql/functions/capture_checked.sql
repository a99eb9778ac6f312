-- capture_failures that tells each event's outcome: new, duplicate (the same content is there) or conflict (the same source
-- and event_id with another event type or payload; nothing is stored for it).
create or replace function retryd.capture_checked(events jsonb)
returns table (index int, outcome text, ids bigint[])
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    select s.index, s.outcome, s.ids
    from retryd.store_events(retryd.read_events(capture_checked.events), true) s
    order by s.index
$$;

revoke all on function retryd.capture_checked(jsonb) from public;
grant execute on function retryd.capture_checked(jsonb) to retryd_worker;
