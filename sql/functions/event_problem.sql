-- What is wrong with a failure event, or null: the limits of every door, checked before anything is written.
create or replace function retryd.event_problem(event retryd.new_event) returns text
language plpgsql stable parallel safe
set search_path = retryd, pg_temp
as $$
begin
    if retryd.ordinary_event(event.event_type, event.payload, event.event_id, event.source, event.correlation_id,
            event.error_type, event.priority, event.ordering_key, event.not_before, event.attributes) then
        return null;
    elsif event.event_type is null then
        return 'event_type is missing; name what failed, such as sql.query.failed';
    elsif length(event.event_type) > 200 then
        return format('event_type has %s characters, at most 200 are allowed', length(event.event_type));
    elsif event.event_type !~ '^[A-Za-z0-9_:-]([A-Za-z0-9_.:-]*[A-Za-z0-9_:-])?$' then
        return format('event_type %s may hold only letters, digits and _ . : - and neither begin nor end with a dot',
            quote_literal(event.event_type));
    elsif starts_with(event.event_type, 'retryd.') then
        return 'event_type begins with ''retryd.'', as retryd''s own events do, which are never captured; '
            'give another name to what failed';
    elsif event.event_id = '' then
        return 'event_id is empty; leave it out to have one made';
    elsif octet_length(event.event_id) > 255 then
        return format('event_id has %s bytes, at most 255 are allowed', octet_length(event.event_id));
    elsif octet_length(event.source) > 255 then
        return format('source has %s bytes, at most 255 are allowed', octet_length(event.source));
    elsif octet_length(event.correlation_id) > 255 then
        return format('correlation_id has %s bytes, at most 255 are allowed', octet_length(event.correlation_id));
    elsif octet_length(event.error_type) > 255 then
        return format('error_type has %s bytes, at most 255 are allowed', octet_length(event.error_type));
    elsif octet_length(event.ordering_key) > 255 or event.ordering_key = '' then
        return format('ordering_key has %s bytes, 1 to 255 are allowed', octet_length(event.ordering_key));
    elsif event.priority not between 0 and 9 then
        return format('priority %s is out of range; 0 runs first, 9 last', event.priority);
    elsif event.not_before >= '10000-01-01' or event.not_before < '0001-01-01' then
        return 'not_before must be a time in the years 1 to 9999';
    elsif jsonb_typeof(event.attributes) <> 'object' then
        return 'attributes must be a JSON object';
    end if;
    return coalesce(
        retryd.json_problem('payload', event.payload, 1048576),
        retryd.json_problem('attributes', event.attributes, 16384));
end
$$;

revoke all on function retryd.event_problem(retryd.new_event) from public;
