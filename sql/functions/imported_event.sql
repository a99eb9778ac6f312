-- The failure event of a line of dead_letter_export; a part of import_dead_letters.
create or replace function retryd.imported_event(dead_letter jsonb) returns retryd.failure_event
language sql stable
set search_path = retryd, pg_temp
as $$
    select null::bigint, coalesce(e.source, ''), e.event_id, e.event_type, retryd.operation_of(e.event_type),
        e.correlation_id, coalesce(imported_event.dead_letter -> 'payload', '{}'), coalesce(e.attributes, '{}'),
        imported_event.dead_letter ->> 'event_error_type',
        retryd.cut_text(imported_event.dead_letter ->> 'event_error_message', 8192),
        retryd.cut_text(imported_event.dead_letter ->> 'event_error_stack', 65536), e.occurred_at, e.captured_at,
        decode(imported_event.dead_letter ->> 'raw', 'base64')
    from jsonb_populate_record(null::retryd.failure_event, imported_event.dead_letter - 'raw') e
$$;

revoke all on function retryd.imported_event(jsonb) from public;
