-- Renew leases from now on without ever waiting for a row. Returns what this worker holds under these tokens, as far as
-- can be seen: renewed, or not because another session has the row locked just now. What is missing was lost. Refuses
-- with RT400.
create or replace function retryd.renew_leases(worker text, ids bigint[], tokens bigint[], lease interval)
returns table (id bigint, renewed boolean)
language plpgsql volatile security definer
set search_path = retryd, pg_temp
set plan_cache_mode = force_generic_plan  -- planning anew costs more than the call
set enable_seqscan = off  -- a plan made while the tables were empty must not read them whole later
set jit = off
as $$
declare
    extended bigint[];
begin
    perform retryd.check_lease(worker, 1, lease);
    perform retryd.note_lease(lease);

    with held as materialized (
        select q.id, q.claim_token
        from retryd.retry_queue q
        where q.id = any(renew_leases.ids) and q.claimed_by = worker
        order by q.id
        for update skip locked
    ), moved as (
        update retryd.retry_queue q
        set lease_expires_at = (select retryd.now()) + lease
        where q.id = any(array(
            select h.id
            from held h
            join unnest(renew_leases.ids, tokens) item (id, token) on item.id = h.id and item.token = h.claim_token))
        returning q.id
    )
    select coalesce(array_agg(m.id), '{}') into extended from moved m;

    return query
    select q.id, q.id = any(extended)  -- in a snapshot of its own: who was waited for may have ended meanwhile
    from retryd.retry_queue q
    where q.id = any(renew_leases.ids) and q.claimed_by = worker
        and exists (
            select from unnest(renew_leases.ids, tokens) item (id, token)
            where item.id = q.id and item.token = q.claim_token);
end
$$;

revoke all on function retryd.renew_leases(text, bigint[], bigint[], interval) from public;
grant execute on function retryd.renew_leases(text, bigint[], bigint[], interval) to retryd_worker;
