-- capture_failures that tells each event's outcome: new, duplicate (the same content is there) or conflict (the same source
-- and event_id with another event type or payload; nothing is stored for it). Durable: whoever called it may forget them.
create or replace function retryd.capture_checked(events jsonb)
returns table (index int, outcome text, ids bigint[])
language plpgsql volatile security definer
set search_path = retryd, pg_temp
as $$
declare
    stored record;
begin
    perform retryd.commit_durably();
    perform retryd.check_events(events);
    select * into stored from retryd.store_events(events);
    return query
    select o.* from retryd.outcomes_of(events, stored.numbers, stored.ids, stored.owners) o order by o.index;
end
$$;

revoke all on function retryd.capture_checked(jsonb) from public;
grant execute on function retryd.capture_checked(jsonb) to retryd_worker;
