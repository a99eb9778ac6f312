-- The events of a bulk capture as typed rows. Refuses what is no array of objects with known keys of the right type,
-- naming the index: RT400.
create or replace function retryd.read_events(events jsonb) returns retryd.new_event[]
language plpgsql stable
set search_path = retryd, pg_temp
as $$
declare
    result retryd.new_event[];
    problem text;
    event jsonb;
    n int := 0;
begin
    if jsonb_typeof(events) is distinct from 'array' then
        raise exception 'events must be a JSON array of objects' using errcode = 'RT400';
    elsif jsonb_array_length(events) > 10000 then
        raise exception using errcode = 'RT400', message = format(
            '%s events in one call, at most 10000 are allowed; split them', jsonb_array_length(events));
    end if;
    for event in select e.event from jsonb_array_elements(events) e (event) loop
        problem := retryd.shape_problem(event);
        if problem is not null then
            raise exception using errcode = 'RT400', message = format('event %s: %s', n, problem);
        end if;
        n := n + 1;
    end loop;
    begin
        select coalesce(array_agg(typed order by e.n), '{}')
        into result
        from jsonb_array_elements(events) with ordinality e (event, n)
        cross join lateral jsonb_populate_record(null::retryd.new_event, e.event) typed;
        return result;
    exception when data_exception then
        n := 0;
        for event in select e.event from jsonb_array_elements(events) e (event) loop
            begin
                perform jsonb_populate_record(null::retryd.new_event, event);
            exception when data_exception then
                raise exception using errcode = 'RT400',
                    message = format('event %s: not_before: %s', n, left(sqlerrm, 200));
            end;
            n := n + 1;
        end loop;
        raise;
    end;
end
$$;

revoke all on function retryd.read_events(jsonb) from public;
