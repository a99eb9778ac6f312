-- How a retry ended, or that it lives again after a replay: at most one row. A part of explain_retry.
create or replace function retryd.explain_end(id bigint) returns table (reason text, detail text, since timestamptz)
language sql stable
set search_path = retryd, pg_temp
as $$
    select a.ended, case a.ended
            when 'cancelled' then format('cancelled%s%s', ' by ' || a.cancelled_by, ': ' || a.cancel_reason)
            else format('%s in life %s, attempt %s', a.ended, a.life, a.attempt) end, a.ended_at
    from retryd.retry_archive a
    where a.id = explain_end.id
    union all
    select case
            when d.status in ('pending', 'failed') then 'dead'
            when d.status = 'retrying' then 'retrying'
            when d.resolved_by = 'person' then 'resolved'
            when d.resolved_by = 'success' then 'completed'
            else 'cancelled'
        end,
        case
            when d.status in ('pending', 'failed') then format('%s in life %s after %s of %s attempts%s%s%s', d.reason, d.life,
                d.attempt - d.lost_attempts, d.max_retries, ', ' || nullif(d.lost_attempts, 0) || ' more lost',
                '; ' || d.error_type, ': ' || d.error_message)
            when d.status = 'retrying' then format('life %s, replayed%s%s', d.life + 1, ' by ' || d.replayed_by,
                ': ' || d.replay_reason)
            when d.resolved_by = 'person' then format('closed%s%s; it died of: %s', ' by ' || d.resolved_actor,
                ': ' || d.resolved_reason, d.reason)
            else 'retention has left no more than its case file'
        end,
        case
            when d.status in ('pending', 'failed') then d.dead_at
            when d.status = 'retrying' then d.replayed_at
            else d.resolved_at
        end
    from retryd.dead_letter d
    where d.id = explain_end.id
        and (d.resolved_by is null or d.resolved_by = 'person'
            or not exists (select from retryd.retry_archive a where a.id = d.id))
$$;

revoke all on function retryd.explain_end(bigint) from public;
