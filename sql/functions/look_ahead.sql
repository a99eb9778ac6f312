-- What waits for these handlers: for each lane where a claim may begin, and in how many seconds its first retry is due,
-- below 0 if it is. Paused handlers are left out. One row without a lane tells where a claim may begin in all others. With
-- asleep_seconds the worker is idle and looks again after so many: ring for what becomes due before.
-- Steps from lane to lane through the index, past those of other handlers. It pays for dead entries: not for every claim.
create or replace function retryd.look_ahead(worker text, handlers text[], asleep_seconds float8 default null)
returns table (handler text, priority int, since timestamptz, after bigint, due_in float8)
language plpgsql volatile security definer
set search_path = retryd, pg_temp
set plan_cache_mode = force_generic_plan  -- planning anew costs more than the call
set enable_seqscan = off  -- a plan made while the tables were empty must not read them whole later
set jit = off
as $$
declare
    served text[] := array(select name from unnest(handlers) name order by name);
begin
    if asleep_seconds is not null then
        insert into retryd.sleeper as s (worker, wakes_at)
        values (look_ahead.worker, retryd.now() + 2 * asleep_seconds * interval '1 s')
        on conflict on constraint sleeper_pkey do update
        set wakes_at = excluded.wakes_at
        where s.wakes_at < excluded.wakes_at - asleep_seconds * interval '1 s';
    end if;

    return query
    with recursive head as (
        select null::bigint as id, 0::smallint as priority, null::text as handler, null::timestamptz as due,
            served[1] as next_handler
        union all
        select first.*, served[width_bucket(first.handler, served) + 1]
        from head
        cross join lateral (
            select q.id, q.priority, q.handler, q.next_attempt_at
            from retryd.retry_queue q
            where q.state = 'pending' and q.handler is not null
                and (q.priority, q.handler) >= (
                    (head.priority + case when head.next_handler is null then 1 else 0 end)::smallint,
                    coalesce(head.next_handler, served[1]))
                and (q.give_up_at is null or q.give_up_at > (select retryd.now()))
            order by q.priority, q.handler, q.next_attempt_at, q.id
            limit 1
        ) first
    )
    select lane.handler, lane.priority::int, least(lane.due, clock.settled),
        case when lane.due <= clock.settled then lane.id - 1 else 0 end,
        extract(epoch from least(lane.due, clock.at + interval '1 day') - clock.at)::float8
    from (select t.at, t.at - interval '0.25 s' as settled from (select retryd.now() as at offset 0) t) clock
    cross join (
        select head.handler, head.priority, head.due, head.id
        from head
        where head.id is null or (head.handler = any(served) and head.handler in (
            select h.name
            from retryd.retry_handler h
            where h.paused_at is null and h.name = any(array(select distinct found.handler from head found))))
    ) lane;
end
$$;

revoke all on function retryd.look_ahead(text, text[], float8) from public;
grant execute on function retryd.look_ahead(text, text[], float8) to retryd_worker;
