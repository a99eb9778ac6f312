-- Accept a failure event in the caller's transaction; returns the ids of its retries. The same (source, event_id) again
-- returns the ids that exist now and stores nothing. Refuses with RT400.
create or replace function retryd.capture_failure(
    event_type text, payload jsonb default '{}', event_id text default null, source text default null,
    correlation_id text default null, error_type text default null, error_message text default null,
    error_stack text default null, priority int default null, ordering_key text default null,
    not_before timestamptz default null, attributes jsonb default '{}')
returns setof bigint
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    select unnest(s.ids)
    from retryd.store_events(array[row(
        capture_failure.event_type, capture_failure.payload, capture_failure.event_id, capture_failure.source,
        capture_failure.correlation_id, capture_failure.error_type, capture_failure.error_message,
        capture_failure.error_stack, capture_failure.priority, capture_failure.ordering_key,
        capture_failure.not_before, capture_failure.attributes)::retryd.new_event], false) s
$$;

revoke all on function retryd.capture_failure(
    text, jsonb, text, text, text, text, text, text, int, text, timestamptz, jsonb) from public;
grant execute on function retryd.capture_failure(
    text, jsonb, text, text, text, text, text, text, int, text, timestamptz, jsonb)
to retryd_producer, retryd_worker, retryd_operator;
