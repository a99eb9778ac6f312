-- Take up to batch_size due retries of the given handlers under a lease; handlers null: every registered one of kind
-- external. Walks lanes: priorities that exist, smallest first, and within one the handlers in an order drawn per call, so
-- none starves; it stops when the batch is full. Paused handlers are left out. Counts the attempt. Refuses with RT400.
create or replace function retryd.acquire_retry_batch(
    worker text, batch_size int, lease interval default '60 s', handlers text[] default null)
returns table (
    id bigint, claim_token bigint, event_id text, event_type text, operation text, handler text, policy text,
    source text, correlation_id text, payload text, attributes text, error_type text, error_message text,
    last_error_type text, last_error_message text, priority int, attempt int, lost_attempts int, snoozes int,
    max_retries int, life int, created_at timestamptz, lease_expires_at timestamptz)
language plpgsql volatile security definer
set search_path = retryd, pg_temp
set plan_cache_mode = force_generic_plan  -- planning anew costs more than the call
set enable_seqscan = off  -- a plan made while the tables were empty must not read them whole later
set jit = off
as $$
declare
    served text[];
begin
    perform retryd.commit_durably();
    perform retryd.check_lease(worker, batch_size, lease);
    perform retryd.note_lease(lease);
    select array_agg(h.name order by random())
    into served
    from retryd.retry_handler h
    where h.paused_at is null
        and case when handlers is null then h.kind = 'external' else h.name = any(handlers) end;

    return query
    with picked as materialized (
        select due.id, due.event
        from retryd.waiting_priorities() level (priority)
        cross join lateral (  -- its limit keeps the planner from walking handlers first, priorities second
            select head.id, head.event
            from unnest(served) lane (handler)
            cross join lateral (
                select q.id, q.event
                from retryd.retry_queue q
                where q.priority = level.priority and q.handler = lane.handler and q.state = 'pending'
                    and q.next_attempt_at <= (select retryd.now())
                    and (q.give_up_at is null or q.give_up_at > (select retryd.now()))
                order by q.next_attempt_at, q.id
                limit batch_size
                for update skip locked
            ) head
            limit batch_size
        ) due
        limit batch_size
    ), taken as (
        update retryd.retry_queue q
        set state = 'processing', attempt = q.attempt + 1, claimed_by = worker,
            claim_token = nextval('retryd.claim_token_seq'), lease_expires_at = (select retryd.now()) + lease
        where q.id = any(array(select p.id from picked p)) and q.state = 'pending'
        returning q.*
    )
    select b.*
    from retryd.failure_event e
    join taken t on t.event = e.id
    cross join lateral retryd.claim_row(t, e) b
    where e.id = any(array(select p.event from picked p))
    order by b.priority, t.next_attempt_at, t.id;
end
$$;

revoke all on function retryd.acquire_retry_batch(text, int, interval, text[]) from public;
grant execute on function retryd.acquire_retry_batch(text, int, interval, text[]) to retryd_worker;
