-- What is wrong with one event of a bulk, or null: its shape, and then what event_problem says.
create or replace function retryd.element_problem(event jsonb) returns text
language plpgsql stable
set search_path = retryd, pg_temp
as $$
declare
    problem text := retryd.shape_problem(event);
begin
    if problem is null then
        problem := retryd.event_problem(jsonb_populate_record(null::retryd.new_event, event));
    end if;
    return problem;
exception when data_exception then
    return format('not_before: %s', left(sqlerrm, 200));
end
$$;

revoke all on function retryd.element_problem(jsonb) from public;
