-- The one way in: every door of capture ends here. Stores each failure event once and gives it a retry per matching
-- handler, or one without a handler; the first retry of an event bears the event's id. index counts from 0, ids are those
-- that exist now. Refuses with RT400 before anything is written; `many` names the index of the bad event.
-- Locks: unique keys of failure_event in their own order, so that two bulk captures cannot deadlock.
create or replace function retryd.store_events(events retryd.new_event[], many boolean)
returns table (index int, outcome text, ids bigint[])
language plpgsql volatile
set search_path = retryd, pg_temp
set plan_cache_mode = force_generic_plan  -- planning anew costs more than the call
as $$
declare
    event retryd.new_event;
    problem text;
    n int := 0;
    new_numbers bigint[];
    new_ids bigint[];
    keys text[];
    due timestamptz;
begin
    foreach event in array events loop
        problem := retryd.event_problem(event);
        if problem is not null then
            raise exception using errcode = 'RT400',
                message = case when many then format('event %s: %s', n, problem) else problem end;
        end if;
        n := n + 1;
    end loop;

    with item as materialized (
        select nextval('retryd.retry_id_seq') as id, retryd.operation_of(e.event_type) as operation, e.*
        from unnest(events) with ordinality e
    ), stored as (
        insert into retryd.failure_event (id, source, event_id, event_type, operation, correlation_id, payload,
            attributes, error_type, error_message, error_stack, captured_at)
        select i.id, coalesce(i.source, ''), coalesce(i.event_id, retryd.new_event_id()), i.event_type, i.operation,
            i.correlation_id, coalesce(i.payload, '{}'), coalesce(i.attributes, '{}'), i.error_type,
            retryd.cut_text(i.error_message, 8192), retryd.cut_text(i.error_stack, 65536), (select retryd.now())
        from item i
        order by coalesce(i.source, ''), i.event_id, i.ordinality
        on conflict (source, event_id) do nothing
        returning failure_event.id
    ), route as materialized (
        select o.operation, h.name as handler, p.name as policy, p.priority, p.max_retries, p.max_age,
            p.first_delay_low as low, p.first_delay_high as high
        from (select distinct i.operation from item i) o
        left join retryd.retry_handler h
            on exists (select from unnest(h.match) pattern where retryd.matches(pattern, o.operation))
        cross join lateral retryd.policy_for(h.policy, o.operation) p
    ), duty as (
        select i.id as event, i.ordinality, i.ordering_key, r.handler, r.policy, r.max_retries, r.max_age,
            coalesce(i.priority, r.priority, 5) as priority,
            coalesce(i.not_before, (select retryd.now()) + (r.low + random() * (r.high - r.low)) * interval '1 s') as due,
            row_number() over (partition by i.id order by r.handler) as nth
        from stored s
        join item i on i.id = s.id
        join route r on r.operation = i.operation
    ), queued as (
        insert into retryd.retry_queue (id, event, handler, policy, priority, ordering_key, state, max_retries,
            next_attempt_at, give_up_at)
        select case d.nth when 1 then d.event else nextval('retryd.retry_id_seq') end, d.event, d.handler, d.policy,
            d.priority, d.ordering_key, case when d.ordering_key is null or d.handler is null then 'pending' else 'parked' end,
            d.max_retries, d.due, (select retryd.now()) + d.max_age
        from duty d
        order by d.ordinality, d.nth
        returning retry_queue.id, retry_queue.event, retry_queue.handler, retry_queue.ordering_key, retry_queue.state,
            retry_queue.next_attempt_at
    )
    select array_agg(i.ordinality), array_agg(q.id), min(q.next_attempt_at),
        array_agg(distinct q.handler || chr(1) || q.ordering_key) filter (where q.state = 'parked')
    into new_numbers, new_ids, due, keys
    from queued q
    join item i on i.id = q.event;

    if cardinality(keys) <= 64 and current_setting('transaction_isolation') = 'read committed' then
        perform retryd.unpark_retries(
            array(select split_part(k, chr(1), 1) from unnest(keys) k),
            array(select substr(k, strpos(k, chr(1)) + 1) from unnest(keys) k));
    end if;
    perform retryd.ring(due);

    return query
    select (fresh.number - 1)::int, 'new', array_agg(fresh.id order by fresh.id)
    from unnest(new_numbers, new_ids) fresh (number, id)
    group by fresh.number
    union all
    select (i.ordinality - 1)::int,
        case when e.event_type = i.event_type and e.payload = coalesce(i.payload, '{}') then 'duplicate' else 'conflict' end,
        retryd.ids_of_event(e.id)
    from unnest(events) with ordinality i
    join retryd.failure_event e on e.source = coalesce(i.source, '') and e.event_id = i.event_id
    where i.ordinality <> all(coalesce(new_numbers, '{}'))
    order by 1;
end
$$;

revoke all on function retryd.store_events(retryd.new_event[], boolean) from public;
