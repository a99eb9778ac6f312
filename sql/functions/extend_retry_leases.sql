-- Renew leases from now on; returns the ids still held by this worker under these tokens. What is missing was lost.
-- Locks: retry_queue by id ascending. Refuses with RT400.
create or replace function retryd.extend_retry_leases(worker text, ids bigint[], tokens bigint[], lease interval)
returns setof bigint
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
    with held as materialized (
        select q.id, q.claim_token
        from retryd.retry_queue q
        where q.id = any(extend_retry_leases.ids) and q.claimed_by = worker
        order by q.id
        for update
    )
    update retryd.retry_queue q
    set lease_expires_at = (select retryd.now()) + lease
    where q.id = any(array(
        select h.id
        from held h
        join unnest(extend_retry_leases.ids, tokens) item (id, token) on item.id = h.id and item.token = h.claim_token))
    returning q.id;
end
$$;

revoke all on function retryd.extend_retry_leases(text, bigint[], bigint[], interval) from public;
grant execute on function retryd.extend_retry_leases(text, bigint[], bigint[], interval) to retryd_worker;
