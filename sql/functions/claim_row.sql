-- One claimed retry as workers get it: the hot row, its body (an edited one in later lives), the failure that came in and
-- the last one of this life. Inlined into the claims, so it has no search_path of its own. captured_at is that of e: taken
-- out of e inside the sub-select, it would have the whole row, payload included, copied for each retry.
create or replace function retryd.claim_row(q retryd.retry_queue, e retryd.failure_event, captured_at timestamptz)
returns table (
    id bigint, claim_token bigint, event_id text, event_type text, operation text, handler text, policy text,
    source text, correlation_id text, payload text, attributes text, error_type text, error_message text,
    last_error_type text, last_error_message text, priority int, attempt int, lost_attempts int, snoozes int,
    max_retries int, life int, created_at timestamptz, lease_expires_at timestamptz)
language sql stable
as $$
    select
        (q).id, (q).claim_token, (e).event_id, (e).event_type, (e).operation, (q).handler, (q).policy, (e).source,
        (e).correlation_id,
        case when (q).life = 1 then (e).payload else coalesce((
            select p.payload
            from retryd.payload_edit p
            where p.retry = (q).id and p.life <= (q).life
            order by p.life desc, p.id desc
            limit 1), (e).payload) end::text,
        (e).attributes::text, (e).error_type, (e).error_message, last.error[1], last.error[2],
        (q).priority::int, (q).attempt, (q).lost_attempts, (q).snoozes, (q).max_retries, (q).life, (e).captured_at,
        (q).lease_expires_at
    from (
        select case when (q).attempt + (q).snoozes > 1 then (  -- most claims never look into the log
            select array[a.error_type, a.error_message]
            from retryd.retry_attempt a
            where a.retry = (q).id and a.life = (q).life and a.error_type is not null
                and a.ended_at >= claim_row.captured_at and a.ended_at <= (select retryd.now())
            order by a.claim_token desc
            limit 1) end as error
        offset 0
    ) last
$$;

revoke all on function retryd.claim_row(retryd.retry_queue, retryd.failure_event, timestamptz) from public;
