-- Refuse an array of failure events in which one is wrong, with RT400 and its index. An ordinary event, a type and a small
-- payload, is let through here, with the limits that event_problem has for it; any other is looked at by itself.
create or replace function retryd.check_events(events jsonb) returns void
language plpgsql stable
set search_path = retryd, pg_temp
set plan_cache_mode = force_generic_plan  -- planning anew costs more than the call
as $$
declare
    bad record;
begin
    if jsonb_typeof(events) is distinct from 'array' then
        raise exception 'events must be a JSON array of objects' using errcode = 'RT400';
    elsif jsonb_array_length(events) > 10000 then
        raise exception using errcode = 'RT400', message = format(
            '%s events in one call, at most 10000 are allowed; split them', jsonb_array_length(events));
    end if;
    select e.n - 1 as index, p.problem
    into bad
    from jsonb_array_elements(events) with ordinality e (event, n)
    cross join lateral (
        select case
                when jsonb_typeof(e.event) = 'object' and e.event - '{event_type,payload}'::text[] = '{}'
                    and jsonb_typeof(e.event -> 'event_type') = 'string'
                    and retryd.ordinary_event(
                        e.event ->> 'event_type', e.event -> 'payload', null, null, null, null, null, null, null, null)
                    then null
                else retryd.element_problem(e.event)
            end as problem
        offset 0) p
    where p.problem is not null
    limit 1;
    if found then
        raise exception using errcode = 'RT400', message = format('event %s: %s', bad.index, bad.problem);
    end if;
end
$$;

revoke all on function retryd.check_events(jsonb) from public;
