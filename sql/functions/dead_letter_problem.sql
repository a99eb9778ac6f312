-- What is wrong with a line of dead_letter_export that is to be imported, or null. Its event keeps the limits of every door.
create or replace function retryd.dead_letter_problem(dead_letter jsonb) returns text
language plpgsql stable
set search_path = retryd, pg_temp
as $$
declare
    needed constant text[] := '{event_type,event_id,status,reason,policy,max_retries,captured_at,dead_at}';
    numbers constant text[] := '{priority,attempt,lost_attempts,max_retries,snoozes,life,replays}';
    bodies constant text[] := '{payload,attributes}';
    texts constant text[] := '{event_type,event_id,source,correlation_id,handler,status,reason,error_type,error_message,
        error_stack,policy,ordering_key,occurred_at,captured_at,dead_at,replayed_at,replayed_by,replay_reason,resolved_by,
        resolved_at,resolved_actor,resolved_reason,event_error_type,event_error_message,event_error_stack,raw}';
    bad text;
    letter retryd.dead_letter;
    event retryd.new_event;
    stored retryd.failure_event;
begin
    if jsonb_typeof(dead_letter) <> 'object' then
        return 'must be a JSON object';
    end if;
    select n into bad from unnest(needed) n where coalesce(dead_letter -> n, 'null') = 'null' limit 1;
    if found then
        return format('%s is missing', bad);
    end if;
    select case
            when m.key = any(numbers) then format('%s must be a whole number of at most nine digits', m.key)
            when m.key = any(texts) then format('%s must be a string', m.key)
            else format('unknown key %s', quote_literal(left(m.key, 100)))
        end
    into bad
    from jsonb_each(dead_letter) m
    where m.key <> 'id' and m.key <> all(bodies) and not case
            when m.key = any(numbers) then jsonb_typeof(m.value) = 'null'
                or jsonb_typeof(m.value) = 'number' and m.value::text ~ '^[0-9]{1,9}$'
            else m.key = any(texts) and jsonb_typeof(m.value) in ('string', 'null')
        end
    limit 1;
    if found then
        return bad;
    end if;
    begin
        letter := jsonb_populate_record(null::retryd.dead_letter, dead_letter - 'id');
        stored := retryd.imported_event(dead_letter);
    exception when data_exception then
        return left(sqlerrm, 200);
    end;
    event := jsonb_populate_record(null::retryd.new_event, dead_letter);
    event.payload := dead_letter -> 'payload';
    event.error_type := stored.error_type;
    return coalesce(retryd.event_problem(event), case
        when letter.status not in ('pending', 'failed', 'resolved') then
            format('status %s is not one of pending, failed, resolved', quote_literal(left(letter.status, 100)))
        when letter.reason not in ('exhausted', 'rejected', 'expired', 'undecodable', 'worker_lost', 'snoozed_out', 'loop') then
            format('reason %s is none of a dead letter', quote_literal(left(letter.reason, 100)))
        when (letter.status = 'resolved') <> (letter.resolved_by is not null)
            or letter.resolved_by not in ('person', 'success', 'cancellation') then
            'resolved_by must be person, success or cancellation where the status is resolved, and null elsewhere'
        when letter.max_retries not between 1 and 1000000 then 'max_retries must be 1 to 1000000'
        when octet_length(letter.handler) > 255 or octet_length(letter.policy) > 255 then
            'handler and policy may have at most 255 bytes'
        when exists (
            select from unnest(array[letter.dead_at, letter.replayed_at, letter.resolved_at, stored.occurred_at,
                stored.captured_at]) t
            where t >= '10000-01-01' or t < '0001-01-01') then 'times must be in the years 1 to 9999'
    end);
end
$$;

revoke all on function retryd.dead_letter_problem(jsonb) from public;
