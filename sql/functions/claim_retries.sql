-- The claim: take up to batch_size due retries under a lease and count the attempt. Walks the given lanes, smallest
-- priority first, those of one priority in an order drawn per call, so none starves, and stops when the batch is full;
-- paused handlers are left out. In each lane it begins behind (since, after): so it steps over no dead entries of what was
-- done before. With each retry: for how many seconds it was due, and where the next claim in its lane may begin: behind it,
-- but a quarter of a second ago at the latest, for what is due earlier may be committed later. Refuses with RT400.
create or replace function retryd.claim_retries(
    worker text, batch_size int, lease interval,
    handlers text[], priorities int[], sinces timestamptz[], afters bigint[])
returns table (
    id bigint, claim_token bigint, event_id text, event_type text, operation text, handler text, policy text,
    source text, correlation_id text, payload text, attributes text, error_type text, error_message text,
    last_error_type text, last_error_message text, priority int, attempt int, lost_attempts int, snoozes int,
    max_retries int, life int, created_at timestamptz, lease_expires_at timestamptz,
    late float8, since timestamptz, after bigint)
language plpgsql volatile security definer
set search_path = retryd, pg_temp
set plan_cache_mode = force_generic_plan  -- planning anew costs more than the call
set enable_seqscan = off  -- a plan made while the tables were empty must not read them whole later
set jit = off
as $$
begin
    perform retryd.commit_durably();
    perform retryd.check_lease(worker, batch_size, lease);
    perform retryd.note_lease(lease);

    return query
    with picked as materialized (
        select due.id, due.event
        from (
            select l.handler, l.priority::smallint as priority, l.since, l.after
            from unnest(handlers, priorities, sinces, afters) l (handler, priority, since, after)
            order by l.priority, random()
        ) lane
        cross join lateral (
            select q.id, q.event
            from retryd.retry_queue q
            where q.priority = lane.priority and q.handler = lane.handler and q.state = 'pending'
                and (q.next_attempt_at, q.id) > (lane.since, lane.after)
                and q.next_attempt_at <= (select retryd.now())
                and (q.give_up_at is null or q.give_up_at > (select retryd.now()))
                and (select h.paused_at is null from retryd.retry_handler h where h.name = lane.handler)
            order by q.next_attempt_at, q.id
            limit batch_size
            for update skip locked
        ) due
        limit batch_size
    ), taken as (
        update retryd.retry_queue q
        set state = 'processing', attempt = q.attempt + 1, claimed_by = worker,
            claim_token = nextval('retryd.claim_token_seq'), lease_expires_at = (select retryd.now()) + lease
        where q.id = any(array(select p.id from picked p)) and q.state = 'pending'
        returning q.*
    )
    select b.*,
        date_part('epoch', (select retryd.now()) - greatest(t.next_attempt_at, e.captured_at)),
        least(t.next_attempt_at, (select retryd.now() - interval '0.25 s')),
        case when t.next_attempt_at <= (select retryd.now() - interval '0.25 s') then t.id else 0 end
    from retryd.failure_event e
    join taken t on t.event = e.id
    cross join lateral retryd.claim_row(t, e, e.captured_at) b
    where e.id = any(array(select p.event from picked p))
    order by b.priority, t.next_attempt_at, t.id;
end
$$;

revoke all on function retryd.claim_retries(text, int, interval, text[], int[], timestamptz[], bigint[]) from public;
grant execute on function retryd.claim_retries(text, int, interval, text[], int[], timestamptz[], bigint[]) to retryd_worker;
