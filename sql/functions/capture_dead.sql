-- Put an event straight among the dead letters: what cannot be decoded (with its raw bytes) or feeds itself. Returns the id
-- of the dead letter; the same (source, event_id) again returns the first one. Refuses with RT400.
create or replace function retryd.capture_dead(event jsonb, reason text, raw bytea default null) returns bigint
language plpgsql volatile security definer
set search_path = retryd, pg_temp
as $$
declare
    letter jsonb;
    item retryd.new_event;
    number bigint;
    moment constant timestamptz := retryd.now();
    problem text;
    new_id bigint;
begin
    perform retryd.commit_durably();
    if reason is null or reason not in ('undecodable', 'loop') then
        raise exception using errcode = 'RT400',
            message = format('reason %s is not one of undecodable, loop', coalesce(quote_literal(reason), 'null'));
    end if;
    letter := jsonb_build_object('event_type', 'unknown.failed') || coalesce(capture_dead.event, '{}');
    problem := retryd.element_problem(letter);
    if problem is not null then
        raise exception using errcode = 'RT400', message = problem;
    end if;
    item := jsonb_populate_record(null::retryd.new_event, letter);
    number := nextval('retryd.retry_id_seq');
    with stored as (
        insert into retryd.failure_event (id, source, event_id, event_type, operation, correlation_id, payload,
            attributes, error_type, error_message, error_stack, captured_at, raw)
        values (number, coalesce(item.source, ''),
            coalesce(item.event_id, retryd.event_id_prefix(moment) || lpad(to_hex(number), 12, '0')), item.event_type,
            retryd.operation_of(item.event_type), item.correlation_id, coalesce(item.payload, '{}'), coalesce(item.attributes, '{}'), item.error_type,
            retryd.cut_text(item.error_message, 8192), retryd.cut_text(item.error_stack, 65536), moment,
            capture_dead.raw)
        on conflict (source, event_id) do nothing
        returning failure_event.*
    )
    insert into retryd.dead_letter (id, event, policy, priority, ordering_key, max_retries, status, reason, error_type,
        error_message, error_stack, dead_at)
    select s.id, s.id, p.name, coalesce(item.priority, p.priority, 5), item.ordering_key, p.max_retries, 'pending',
        capture_dead.reason, s.error_type, s.error_message, s.error_stack, s.captured_at
    from stored s
    cross join lateral retryd.policy_for(null, s.operation) p
    returning dead_letter.id into new_id;
    if new_id is null then
        select (retryd.ids_of_event(e.id))[1]
        into new_id
        from retryd.failure_event e
        where e.source = coalesce(item.source, '') and e.event_id = item.event_id;
    end if;
    return new_id;
end
$$;

revoke all on function retryd.capture_dead(jsonb, text, bytea) from public;
grant execute on function retryd.capture_dead(jsonb, text, bytea) to retryd_worker;
