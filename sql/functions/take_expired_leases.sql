-- Take over retries whose lease has run out, however long ago: the door for foreign workers to rescue_retries.
create or replace function retryd.take_expired_leases(worker text, batch_size int, lease interval default '60 s')
returns table (
    id bigint, claim_token bigint, event_id text, event_type text, operation text, handler text, policy text,
    source text, correlation_id text, payload text, attributes text, error_type text, error_message text,
    last_error_type text, last_error_message text, priority int, attempt int, lost_attempts int, snoozes int,
    max_retries int, life int, created_at timestamptz, lease_expires_at timestamptz)
language sql volatile security definer
set search_path = retryd, pg_temp
as $$ select * from retryd.rescue_retries(worker, batch_size, lease, null) $$;

revoke all on function retryd.take_expired_leases(text, int, interval) from public;
grant execute on function retryd.take_expired_leases(text, int, interval) to retryd_worker;
