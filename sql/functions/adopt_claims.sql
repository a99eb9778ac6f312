-- Give a worker what it holds without knowing: claims under its own id with a token above `after`, the highest that it
-- was told of; tokens only grow, so the answer of each of these never arrived. Extends their leases and returns them as
-- the claim did; the attempt was counted then. Rescue leases are left to run out. To be called while no claim of this
-- worker is under way. Locks: retry_queue by id ascending among those it can have. Refuses with RT400.
create or replace function retryd.adopt_claims(worker text, after bigint, lease interval)
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
    perform retryd.check_lease(worker, 1, lease);
    perform retryd.note_lease(lease);

    return query
    with missed as materialized (
        select q.id, q.event
        from retryd.retry_queue q
        where q.state = 'processing' and q.lease_expires_at > '-infinity'  -- leads through the index of leases
            and q.claimed_by = worker and q.claim_token > after
        order by q.id
        for update skip locked
    ), taken as (
        update retryd.retry_queue q
        set lease_expires_at = (select retryd.now()) + lease
        where q.id = any(array(select m.id from missed m)) and q.claimed_by = worker
        returning q.*
    )
    select b.*
    from retryd.failure_event e
    join taken t on t.event = e.id
    cross join lateral retryd.claim_row(t, e, e.captured_at) b
    where e.id = any(array(select m.event from missed m))
    order by t.id;
end
$$;

revoke all on function retryd.adopt_claims(text, bigint, interval) from public;
grant execute on function retryd.adopt_claims(text, bigint, interval) to retryd_worker;
