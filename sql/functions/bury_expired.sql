-- Retries whose age limit has passed go to the dead letters, reason expired; returns what they are. A running attempt is
-- left to end. Locks: retry_queue by id ascending among those it can have, then dead_letter.
create or replace function retryd.bury_expired(batch_size int)
returns table (
    id bigint, handler text, event_type text, attempt int, max_retries int, life int, error_type text)
language plpgsql volatile security definer
set search_path = retryd, pg_temp
set plan_cache_mode = force_generic_plan  -- planning anew costs more than the call
set enable_seqscan = off  -- a plan made while the tables were empty must not read them whole later
set jit = off
as $$
declare
    dead retryd.dead_letter[];
    ended_handlers text[];
    ended_keys text[];
begin
    with old as materialized (
        select q.id
        from retryd.retry_queue q
        where q.give_up_at is not null and q.state <> 'processing' and q.give_up_at <= (select retryd.now())
        order by q.give_up_at
        limit batch_size
        for update skip locked
    ), gone as (
        delete from retryd.retry_queue q
        where q.id = any(array(select o.id from old o)) and q.state <> 'processing'
        returning q.*
    ), buried as (
        insert into retryd.dead_letter as d (id, event, handler, policy, priority, ordering_key, attempt, lost_attempts,
            max_retries, snoozes, life, status, reason, error_type, error_message, error_stack, dead_at)
        select g.id, g.event, g.handler, g.policy, g.priority, g.ordering_key, g.attempt, g.lost_attempts,
            g.max_retries, g.snoozes, g.life, 'pending', 'expired', coalesce(last.error_type, e.error_type),
            case when last.error_type is null then e.error_message else last.error_message end,
            case when last.error_type is null then e.error_stack else last.error_stack end, (select retryd.now())
        from gone g
        join retryd.failure_event e on e.id = g.event
        left join lateral (
            select a.error_type, a.error_message, a.error_stack
            from retryd.retry_attempt a
            where a.retry = g.id and a.life = g.life and a.error_type is not null
            order by a.claim_token desc
            limit 1
        ) last on true
        order by g.id
        on conflict on constraint dead_letter_pkey do update
        set status = 'failed', reason = excluded.reason, handler = excluded.handler, policy = excluded.policy,
            max_retries = excluded.max_retries, attempt = excluded.attempt, lost_attempts = excluded.lost_attempts,
            snoozes = excluded.snoozes, life = excluded.life, error_type = excluded.error_type,
            error_message = excluded.error_message, error_stack = excluded.error_stack, dead_at = excluded.dead_at
        returning d.*
    )
    select array_agg(b), array_agg(g.handler) filter (where g.ordering_key is not null and g.state <> 'parked'),
        array_agg(g.ordering_key) filter (where g.ordering_key is not null and g.state <> 'parked')
    into dead, ended_handlers, ended_keys
    from gone g
    join buried b on b.id = g.id;
    if ended_keys is not null then
        perform retryd.unpark_retries(ended_handlers, ended_keys);
    end if;
    return query
    select d.id, d.handler, e.event_type, d.attempt, d.max_retries, d.life, d.error_type
    from unnest(dead) d
    join retryd.failure_event e on e.id = d.event
    order by d.id;
end
$$;

revoke all on function retryd.bury_expired(int) from public;
grant execute on function retryd.bury_expired(int) to retryd_worker;
