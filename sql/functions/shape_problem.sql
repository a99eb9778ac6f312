-- What is wrong with the shape of one event of a bulk, or null: no object, an unknown key, a value of another type. Numbers
-- are no texts: nine bytes of exponent would become 131 KB. Inlined, so it has no search_path of its own.
create or replace function retryd.shape_problem(event jsonb) returns text
language sql immutable parallel safe
as $$
    select case
        when jsonb_typeof(event) <> 'object' then 'must be a JSON object'
        when event - '{event_type,payload,event_id,source,correlation_id,error_type,error_message,error_stack,priority,
                ordering_key,not_before,attributes}'::text[] <> '{}' then
            'unknown key ' || quote_literal(left(jsonb_path_query_first(
                event - '{event_type,payload,event_id,source,correlation_id,error_type,error_message,error_stack,priority,
                ordering_key,not_before,attributes}'::text[], '$.keyvalue().key') #>> '{}', 100))
        when jsonb_path_exists(
                event - '{payload,attributes,priority}'::text[], '$.* ? (@.type() != "string" && @.type() != "null")') then
            (jsonb_path_query_first(
                event - '{payload,attributes,priority}'::text[],
                '$.keyvalue() ? (@.value.type() != "string" && @.value.type() != "null").key') #>> '{}') || ' must be a string'
        when jsonb_typeof(event -> 'priority') not in ('number', 'null') or event ->> 'priority' !~ '^-?[0-9]{1,9}$' then
            'priority must be a whole number; 0 runs first, 9 last'
    end
$$;

revoke all on function retryd.shape_problem(jsonb) from public;
