-- Does an event surely keep all limits? Most do, and this is cheap to ask; of the others event_problem tells. Where a body
-- is this small, no number in it has 308 digits and nothing is nested 64 deep; one that is compressed is small and may grow.
-- Inlined, so it has no search_path of its own.
create or replace function retryd.ordinary_event(
    event_type text, payload jsonb, event_id text, source text, correlation_id text, error_type text, priority int,
    ordering_key text, not_before timestamptz, attributes jsonb)
returns boolean
language sql stable parallel safe
as $$
    select event_type ~ '^[A-Za-z0-9_:-]([A-Za-z0-9_.:-]*[A-Za-z0-9_:-])?$' and length(event_type) <= 200
        and not starts_with(event_type, 'retryd.')
        and (payload is null
            or pg_column_size(payload) <= 500 and pg_column_compression(payload) is null and octet_length(payload::text) <= 308)
        and (attributes is null or attributes = '{}'
            or jsonb_typeof(attributes) = 'object' and pg_column_size(attributes) <= 500
            and pg_column_compression(attributes) is null and octet_length(attributes::text) <= 308)
        and (event_id is null or octet_length(event_id) between 1 and 255)
        and (ordering_key is null or octet_length(ordering_key) between 1 and 255)
        and octet_length(concat(source, correlation_id, error_type)) <= 255
        and (priority is null or priority between 0 and 9)
        and (not_before is null or not_before >= '0001-01-01' and not_before < '10000-01-01')
$$;

revoke all on function retryd.ordinary_event(text, jsonb, text, text, text, text, int, text, timestamptz, jsonb) from public;
