-- Take over retries whose lease has run out, each under a new token: the old holder is fenced from this instant. The
-- attempt is counted as lost and logged in the same statement; the lease given is a rescue lease, marked in claimed_by,
-- under which the decision about the lost attempt is settled. An expired rescue lease counts nothing. `within`: only leases
-- that ran out no longer ago, null: all of them, which pays for the dead entries of each lease that ever ended so while a
-- snapshot is held. Refuses with RT400.
create or replace function retryd.rescue_retries(worker text, batch_size int, lease interval, within interval)
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
begin
    perform retryd.commit_durably();
    perform retryd.check_lease(worker, batch_size, lease);
    perform retryd.note_lease(lease);

    return query
    with lapsed as materialized (
        select q.id, q.event, q.claim_token, q.claimed_by, starts_with(q.claimed_by, 'rescue/') as rescue
        from retryd.retry_queue q
        where q.state = 'processing' and q.lease_expires_at <= (select retryd.now())
            and q.lease_expires_at > (select coalesce(retryd.now() - within, '-infinity'))
        order by q.lease_expires_at
        limit batch_size
        for update skip locked
    ), taken as (
        update retryd.retry_queue q
        set lost_attempts = q.lost_attempts + case when starts_with(q.claimed_by, 'rescue/') then 0 else 1 end,
            claimed_by = 'rescue/' || worker, claim_token = nextval('retryd.claim_token_seq'),
            lease_expires_at = (select retryd.now()) + lease
        where q.id = any(array(select l.id from lapsed l)) and q.claim_token is not null
        returning q.*
    ), logged as (
        insert into retryd.retry_attempt (retry, life, claim_token, attempt, handler, worker, ended_at, outcome,
            error_type, error_message)
        select t.id, t.life, l.claim_token, t.attempt, t.handler, l.claimed_by, (select retryd.now()), 'lost',
            'WorkerLost', 'the lease ran out before the worker reported'
        from taken t
        join lapsed l on l.id = t.id
        where not l.rescue
    )
    select b.*
    from taken t
    join retryd.failure_event e on e.id = t.event
    cross join lateral retryd.claim_row(t, e, e.captured_at) b;
end
$$;

revoke all on function retryd.rescue_retries(text, int, interval, interval) from public;
grant execute on function retryd.rescue_retries(text, int, interval, interval) to retryd_worker;
