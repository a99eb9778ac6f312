-- Accept up to 10,000 failure events at once, an array of objects with the keys of capture_failure. All or nothing: one bad
-- event refuses the call with RT400 and its index. Ids come in the order of the events.
create or replace function retryd.capture_failures(events jsonb) returns setof bigint
language plpgsql volatile security definer
set search_path = retryd, pg_temp
as $$
declare
    stored record;
begin
    perform retryd.check_events(events);
    select * into stored from retryd.store_events(events);
    if (select count(*) from unnest(stored.ids, stored.owners) r (id, owner) where r.id = r.owner) = jsonb_array_length(events) then
        return query select unnest(stored.ids);  -- all of them are new
    else
        return query
        select unnest(o.ids)
        from retryd.outcomes_of(events, stored.numbers, stored.ids, stored.owners) o
        order by o.index;
    end if;
end
$$;

revoke all on function retryd.capture_failures(jsonb) from public;
grant execute on function retryd.capture_failures(jsonb) to retryd_producer, retryd_worker, retryd_operator;
