-- Take up to batch_size due retries of the given handlers under a lease; handlers null: every registered one of kind
-- external. The door for foreign workers, who keep no bounds: walks every lane from its beginning. Refuses with RT400.
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
    lanes record;
begin
    perform retryd.check_lease(worker, batch_size, lease);
    select array_agg(lane.handler) as handlers, array_agg(lane.priority) as priorities,
        array_agg('-infinity'::timestamptz) as sinces, array_agg(0::bigint) as afters
    into lanes
    from (
        select h.name as handler, level.priority
        from retryd.waiting_priorities() level (priority)
        cross join retryd.retry_handler h
        where h.paused_at is null
            and case when handlers is null then h.kind = 'external' else h.name = any(handlers) end
    ) lane;

    return query
    select c.id, c.claim_token, c.event_id, c.event_type, c.operation, c.handler, c.policy, c.source, c.correlation_id,
        c.payload, c.attributes, c.error_type, c.error_message, c.last_error_type, c.last_error_message, c.priority,
        c.attempt, c.lost_attempts, c.snoozes, c.max_retries, c.life, c.created_at, c.lease_expires_at
    from retryd.claim_retries(
        worker, batch_size, lease, lanes.handlers, lanes.priorities, lanes.sinces, lanes.afters) c;
end
$$;

revoke all on function retryd.acquire_retry_batch(text, int, interval, text[]) from public;
grant execute on function retryd.acquire_retry_batch(text, int, interval, text[]) to retryd_worker;
