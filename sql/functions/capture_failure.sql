-- Accept a failure event in the caller's transaction; returns the ids of its retries. The same (source, event_id) again
-- returns the ids that exist now and stores nothing. Refuses with RT400. What store_events does for many, with small plans:
-- for one event, most of the time of a large plan is its start.
create or replace function retryd.capture_failure(
    event_type text, payload jsonb default '{}', event_id text default null, source text default null,
    correlation_id text default null, error_type text default null, error_message text default null,
    error_stack text default null, priority int default null, ordering_key text default null,
    not_before timestamptz default null, attributes jsonb default '{}')
returns setof bigint
language plpgsql volatile security definer
set search_path = retryd, pg_temp
set plan_cache_mode = force_generic_plan  -- planning anew costs more than the call
as $$
declare
    new_operation constant text := retryd.operation_of(capture_failure.event_type);
    moment constant timestamptz := retryd.now();
    new_id bigint;
    parked text[];
    problem text;
begin
    if retryd.ordinary_event(event_type, payload, event_id, source, correlation_id, error_type, priority, ordering_key,
            not_before, attributes) is not true then
        problem := retryd.event_problem(row(
            event_type, payload, event_id, source, correlation_id, error_type, error_message, error_stack, priority,
            ordering_key, not_before, attributes)::retryd.new_event);
        if problem is not null then
            raise exception using errcode = 'RT400', message = problem;
        end if;
    end if;
    new_id := nextval('retryd.retry_id_seq');

    if capture_failure.event_id is null then
        insert into retryd.failure_event (id, source, event_id, event_type, operation, correlation_id, payload, attributes,
            error_type, error_message, error_stack, captured_at)
        values (new_id, coalesce(capture_failure.source, ''), retryd.event_id_prefix(moment) || lpad(to_hex(new_id), 12, '0'),
            capture_failure.event_type, new_operation, capture_failure.correlation_id, coalesce(capture_failure.payload, '{}'),
            coalesce(capture_failure.attributes, '{}'), capture_failure.error_type,
            retryd.cut_text(capture_failure.error_message, 8192), retryd.cut_text(capture_failure.error_stack, 65536), moment);
    else
        insert into retryd.failure_event (id, source, event_id, event_type, operation, correlation_id, payload, attributes,
            error_type, error_message, error_stack, captured_at)
        values (new_id, coalesce(capture_failure.source, ''), capture_failure.event_id, capture_failure.event_type,
            new_operation, capture_failure.correlation_id, coalesce(capture_failure.payload, '{}'),
            coalesce(capture_failure.attributes, '{}'), capture_failure.error_type,
            retryd.cut_text(capture_failure.error_message, 8192), retryd.cut_text(capture_failure.error_stack, 65536), moment)
        on conflict on constraint failure_event_source_event_id_key do nothing;
        if not found then
            return query
            select unnest(retryd.ids_of_event(e.id))
            from retryd.failure_event e
            where e.source = coalesce(capture_failure.source, '') and e.event_id = capture_failure.event_id;
            return;
        end if;
    end if;

    return query
    insert into retryd.retry_queue (id, event, handler, policy, priority, ordering_key, state, max_retries, next_attempt_at,
        give_up_at)
    select case when r.is_first then new_id else nextval('retryd.retry_id_seq') end, new_id, r.handler, r.policy,
        coalesce(capture_failure.priority, r.priority, 5), capture_failure.ordering_key,
        case when capture_failure.ordering_key is null or r.handler is null then 'pending' else 'parked' end, r.max_retries,
        coalesce(capture_failure.not_before, moment + (r.low + random() * (r.high - r.low)) * interval '1 s'),
        moment + r.max_age
    from retryd.routes_of(new_operation) r
    order by r.handler
    returning retry_queue.id;

    if capture_failure.ordering_key is not null and current_setting('transaction_isolation') = 'read committed' then
        parked := array(
            select q.handler
            from retryd.retry_queue q
            where (q.id = new_id or q.event = new_id and q.event <> q.id) and q.state = 'parked');
        if cardinality(parked) between 1 and 64 then
            perform retryd.unpark_retries(parked, array_fill(capture_failure.ordering_key, array[cardinality(parked)]));
        end if;
    end if;
    if exists (select from retryd.sleeper) then
        perform retryd.ring(min(q.next_attempt_at))
        from retryd.retry_queue q
        where q.id = new_id or q.event = new_id and q.event <> q.id;
    end if;
end
$$;

revoke all on function retryd.capture_failure(
    text, jsonb, text, text, text, text, text, text, int, text, timestamptz, jsonb) from public;
grant execute on function retryd.capture_failure(
    text, jsonb, text, text, text, text, text, text, int, text, timestamptz, jsonb)
to retryd_producer, retryd_worker, retryd_operator;
