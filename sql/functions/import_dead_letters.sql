-- Bring dead letters back from an array of up to 10,000 lines of dead_letter_export. They stay dead until somebody replays
-- them. Each is judged by itself: imported (with its new id), existing (the handler has or had this event already), conflict
-- (another event bears its source and event_id here), or bad, with the problem. index counts from 0. Refuses with RT400.
-- Locks: unique keys of failure_event in their own order, then the events that were here by id ascending.
create or replace function retryd.import_dead_letters(dead_letters jsonb, actor text default session_user)
returns table (index int, outcome text, id bigint, problem text)
language plpgsql volatile security definer
set search_path = retryd, pg_temp
as $$
declare
    lines jsonb[];
    problems text[];
    ids bigint[];  -- a new one for each line, in their order: retries with an ordering key run by it
begin
    if jsonb_typeof(dead_letters) is distinct from 'array' then
        raise exception 'dead_letters must be a JSON array of objects' using errcode = 'RT400';
    elsif jsonb_array_length(dead_letters) > 10000 then
        raise exception using errcode = 'RT400', message = format(
            '%s dead letters in one call, at most 10000 are allowed; split them', jsonb_array_length(dead_letters));
    end if;
    select array_agg(case when p.problem is null then l.line end order by l.n), array_agg(p.problem order by l.n)
    into lines, problems
    from jsonb_array_elements(dead_letters) with ordinality l (line, n)
    cross join lateral (select retryd.dead_letter_problem(l.line) as problem offset 0) p;

    ids := array(select nextval('retryd.retry_id_seq') from unnest(lines));

    insert into retryd.failure_event (id, source, event_id, event_type, operation, correlation_id, payload, attributes,
        error_type, error_message, error_stack, occurred_at, captured_at, raw)
    select ids[e.n], e.source, e.event_id, e.event_type, e.operation, e.correlation_id, e.payload, e.attributes,
        e.error_type, e.error_message, e.error_stack, e.occurred_at, e.captured_at, e.raw
    from (
        select distinct on (e.source, e.event_id) l.n, e.*
        from unnest(lines) with ordinality l (line, n)
        cross join lateral retryd.imported_event(l.line) e
        where l.line is not null
        order by e.source, e.event_id, l.n
    ) e
    order by e.source, e.event_id
    on conflict (source, event_id) do nothing;

    perform
    from retryd.failure_event e
    where e.id <> all(ids) and (e.source, e.event_id) in (
        select coalesce(l.line ->> 'source', ''), l.line ->> 'event_id' from unnest(lines) l (line))
    order by e.id
    for update;

    return query
    with item as materialized (
        select l.n, l.problem, e.id as event, d as letter,
            e.event_type = l.line ->> 'event_type' and e.payload = coalesce(l.line -> 'payload', '{}') as same,
            row_number() over (partition by e.id, d.handler order by l.n) as nth
        from unnest(lines, problems) with ordinality l (line, problem, n)
        left join retryd.failure_event e
            on e.source = coalesce(l.line ->> 'source', '') and e.event_id = l.line ->> 'event_id'
        cross join lateral jsonb_populate_record(null::retryd.dead_letter, l.line) d
    ), judged as materialized (
        select i.*, case
                when i.problem is not null then 'bad'
                when not i.same then 'conflict'
                when i.nth > 1 or exists (
                    select from retryd.retries_of_event(i.event) had
                    where had.handler is not distinct from (i.letter).handler) then 'existing'
                else 'imported'
            end as outcome
        from item i
    ), stored as (
        insert into retryd.dead_letter (id, event, handler, policy, priority, ordering_key, attempt, lost_attempts,
            max_retries, snoozes, life, status, reason, error_type, error_message, error_stack, dead_at, replays,
            replayed_at, replayed_by, replay_reason, resolved_by, resolved_at, resolved_actor, resolved_reason)
        select ids[j.n], j.event, d.handler, d.policy, coalesce(d.priority, 5), d.ordering_key, coalesce(d.attempt, 0),
            coalesce(d.lost_attempts, 0), d.max_retries, coalesce(d.snoozes, 0), coalesce(d.life, 1), d.status, d.reason,
            d.error_type, retryd.cut_text(d.error_message, 8192), retryd.cut_text(d.error_stack, 65536), d.dead_at,
            coalesce(d.replays, 0), d.replayed_at, d.replayed_by, d.replay_reason, d.resolved_by, d.resolved_at,
            d.resolved_actor, d.resolved_reason
        from judged j
        cross join lateral (select (j.letter).*) d
        where j.outcome = 'imported'
        order by j.n
    )
    select (j.n - 1)::int, j.outcome, case j.outcome when 'imported' then ids[j.n] end, case j.outcome
            when 'conflict' then 'another event with its source and event_id is here already' else j.problem end
    from judged j
    order by j.n;
end
$$;

revoke all on function retryd.import_dead_letters(jsonb, text) from public;
grant execute on function retryd.import_dead_letters(jsonb, text) to retryd_operator;
