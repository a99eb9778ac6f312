-- Give waiting retries without a handler to the handlers that match: the first by name takes the row, further ones get rows
-- of their own; none gets an event that it has or had. One that has been tried keeps at least one attempt. Repeatable; run
-- at each registration and now and then, for events captured while one committed.
create or replace function retryd.route_unrouted() returns bigint
language plpgsql volatile security definer
set search_path = retryd, pg_temp
as $$
declare
    moved bigint;
    keyed_handlers text[];
    keys text[];
begin
    with unrouted as materialized (
        select q.id, q.event, q.ordering_key, q.priority, q.next_attempt_at, q.life, e.operation
        from retryd.retry_queue q
        join retryd.failure_event e on e.id = q.event
        where q.handler is null and q.state = 'pending'
            and exists (
                select from retryd.retry_handler h, unnest(h.match) pattern
                where retryd.matches(pattern, e.operation))
        order by q.id
        for update of q skip locked
    ), orphan as materialized (
        select u.*, row_number() over (partition by u.event order by u.id) as nth,
            count(*) over (partition by u.event) as orphans
        from unrouted u
    ), route as materialized (
        select o.operation, h.name as handler, p.name as policy, p.max_retries, p.max_age
        from (select distinct u.operation from unrouted u) o
        join retryd.retry_handler h
            on exists (select from unnest(h.match) pattern where retryd.matches(pattern, o.operation))
        cross join lateral retryd.policy_for(h.policy, o.operation) p
    ), duty as materialized (
        select o.event, r.*, row_number() over (partition by o.event order by r.handler) as nth
        from orphan o
        join route r on r.operation = o.operation
        where o.nth = 1
            and not exists (select from retryd.retries_of_event(o.event) had where had.handler = r.handler)
    ), taken as (
        update retryd.retry_queue q
        set handler = d.handler, policy = d.policy,
            max_retries = greatest(d.max_retries, q.attempt - q.lost_attempts + 1),
            give_up_at = coalesce(q.give_up_at, (select retryd.now()) + d.max_age),
            state = case when q.ordering_key is null then 'pending' else 'parked' end
        from orphan o
        join duty d on d.event = o.event and d.nth = o.nth
        where q.id = o.id
        returning q.handler, q.ordering_key
    ), added as (
        insert into retryd.retry_queue as q (id, event, handler, policy, priority, ordering_key, state, max_retries,
            next_attempt_at, give_up_at)
        select nextval('retryd.retry_id_seq'), o.event, d.handler, d.policy, o.priority, o.ordering_key,
            case when o.ordering_key is null then 'pending' else 'parked' end, d.max_retries, o.next_attempt_at,
            (select retryd.now()) + d.max_age
        from orphan o
        join duty d on d.event = o.event and d.nth > o.orphans
        where o.nth = 1 and o.life = 1
        returning q.handler, q.ordering_key
    ), all_routed as (
        select t.handler, t.ordering_key from taken t
        union all
        select a.handler, a.ordering_key from added a
    )
    select count(*), array_agg(a.handler) filter (where a.ordering_key is not null),
        array_agg(a.ordering_key) filter (where a.ordering_key is not null)
    into moved, keyed_handlers, keys
    from all_routed a;
    if keys is not null then
        perform retryd.unpark_retries(keyed_handlers, keys);
    end if;
    if moved > 0 then
        perform retryd.ring(retryd.now());
    end if;
    return moved;
end
$$;

revoke all on function retryd.route_unrouted() from public;
grant execute on function retryd.route_unrouted() to retryd_worker;
