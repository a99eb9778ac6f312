-- What became of the events that store_events was given, with what it returned: new; duplicate, when the same content is
-- here; conflict, when another event has its source and event_id. index counts from 0, ids are those that exist now.
create or replace function retryd.outcomes_of(events jsonb, numbers bigint[], new_ids bigint[], owners bigint[])
returns table (index int, outcome text, ids bigint[])
language sql stable
set search_path = retryd, pg_temp
as $$
    select (n.n - 1)::int, 'new', array_agg(r.id order by r.id)
    from unnest(outcomes_of.numbers) with ordinality n (number, n)
    join unnest(outcomes_of.new_ids, outcomes_of.owners) r (id, owner) on r.owner = n.number
    group by n.n
    union all
    select (i.n - 1)::int,
        case when e.event_type = i.event_type and e.payload = coalesce(i.payload, '{}') then 'duplicate' else 'conflict' end,
        retryd.ids_of_event(e.id)
    from rows from (
        jsonb_to_recordset(outcomes_of.events) as (event_type text, payload jsonb, event_id text, source text),
        unnest(outcomes_of.numbers)) with ordinality i (event_type, payload, event_id, source, number, n)
    join retryd.failure_event e on e.source = coalesce(i.source, '') and e.event_id = i.event_id
    where not exists (select from unnest(outcomes_of.owners) o where o = i.number)
    order by 1
$$;

revoke all on function retryd.outcomes_of(jsonb, bigint[], bigint[], bigint[]) from public;
