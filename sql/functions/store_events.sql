-- Store many failure events, each once, and give each a retry per matching handler, or one without a handler; the first
-- retry of an event bears the event's id. Returns a number for each event, in their order, and of all retries that are new
-- the ids and the numbers of their events, in the same order; an event that is here already has none. Checks nothing.
-- Locks: unique keys of failure_event in their own order, so that two bulk captures cannot deadlock.
create or replace function retryd.store_events(events jsonb, out numbers bigint[], out ids bigint[], out owners bigint[])
language plpgsql volatile
set search_path = retryd, pg_temp
set plan_cache_mode = force_generic_plan  -- planning anew costs more than the call
as $$
declare
    moment constant timestamptz := retryd.now();
    prefix constant text := retryd.event_id_prefix(moment);
    due timestamptz;
    keys text[];
begin
    with item as materialized (
        select nextval('retryd.retry_id_seq') as id, e.*
        from jsonb_to_recordset(events) e (
            event_type text, payload jsonb, event_id text, source text, correlation_id text, error_type text,
            error_message text, error_stack text, priority int, ordering_key text, not_before timestamptz, attributes jsonb)
    ), nameless as (  -- what has no name of its own meets no other: no conflict to look for, no order to keep
        insert into retryd.failure_event (id, source, event_id, event_type, operation, correlation_id, payload, attributes,
            error_type, error_message, error_stack, captured_at)
        select i.id, coalesce(i.source, ''), prefix || lpad(to_hex(i.id), 12, '0'), i.event_type,
            retryd.operation_of(i.event_type), i.correlation_id, coalesce(i.payload, '{}'), coalesce(i.attributes, '{}'),
            i.error_type, retryd.cut_text(i.error_message, 8192), retryd.cut_text(i.error_stack, 65536), moment
        from item i
        where i.event_id is null
    ), named as (
        insert into retryd.failure_event (id, source, event_id, event_type, operation, correlation_id, payload, attributes,
            error_type, error_message, error_stack, captured_at)
        select i.id, coalesce(i.source, ''), i.event_id, i.event_type, retryd.operation_of(i.event_type), i.correlation_id,
            coalesce(i.payload, '{}'), coalesce(i.attributes, '{}'), i.error_type,
            retryd.cut_text(i.error_message, 8192), retryd.cut_text(i.error_stack, 65536), moment
        from item i
        where i.event_id is not null
        order by coalesce(i.source, ''), i.event_id, i.id
        on conflict (source, event_id) do nothing
        returning failure_event.id
    ), route as materialized (
        select t.event_type, r.*
        from (select distinct i.event_type from item i) t
        cross join lateral retryd.routes_of(retryd.operation_of(t.event_type)) r
    ), queued as (
        insert into retryd.retry_queue (id, event, handler, policy, priority, ordering_key, state, max_retries,
            next_attempt_at, give_up_at)
        select case when r.is_first then i.id else nextval('retryd.retry_id_seq') end, i.id, r.handler, r.policy,
            coalesce(i.priority, r.priority, 5), i.ordering_key,
            case when i.ordering_key is null or r.handler is null then 'pending' else 'parked' end, r.max_retries,
            coalesce(i.not_before, moment + (r.low + random() * (r.high - r.low)) * interval '1 s'), moment + r.max_age
        from item i
        join route r on r.event_type = i.event_type
        where i.event_id is null or i.id in (select n.id from named n)
        order by i.id, r.handler
        returning retry_queue.id, retry_queue.event, retry_queue.handler, retry_queue.ordering_key, retry_queue.state,
            retry_queue.next_attempt_at
    )
    select (select array_agg(i.id) from item i), array_agg(q.id), array_agg(q.event), min(q.next_attempt_at),
        array_agg(distinct q.handler || chr(1) || q.ordering_key) filter (where q.state = 'parked')
    into numbers, ids, owners, due, keys
    from queued q;

    if cardinality(keys) <= 64 and current_setting('transaction_isolation') = 'read committed' then
        perform retryd.unpark_retries(
            array(select split_part(k, chr(1), 1) from unnest(keys) k),
            array(select substr(k, strpos(k, chr(1)) + 1) from unnest(keys) k));
    end if;
    perform retryd.ring(due);
end
$$;

revoke all on function retryd.store_events(jsonb) from public;
