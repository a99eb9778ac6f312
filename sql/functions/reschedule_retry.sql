-- The attempt failed: again after the delay (clamped to 0 … 366 days). False: stale, nothing changed. Refuses a spent retry
-- with RT412: it can only be completed or failed.
create or replace function retryd.reschedule_retry(
    id bigint, claim_token bigint, delay interval, error_type text default null, error_message text default null)
returns boolean
language plpgsql volatile security definer
set search_path = retryd, pg_temp
as $$
declare
    result text;
begin
    select s.outcome
    into result
    from retryd.settle_retries(array[reschedule_retry.id], array[reschedule_retry.claim_token], array['reschedule'],
        delays => array[extract(epoch from delay)::float8], outcomes => array['failure'],
        error_types => array[reschedule_retry.error_type], error_messages => array[reschedule_retry.error_message]) s;
    if result = 'spent' then
        raise exception using errcode = 'RT412', message = format(
            'retry %s is spent: it has used its max_retries; complete it or fail it', reschedule_retry.id);
    end if;
    return result = 'settled';
end
$$;

revoke all on function retryd.reschedule_retry(bigint, bigint, interval, text, text) from public;
grant execute on function retryd.reschedule_retry(bigint, bigint, interval, text, text) to retryd_worker;
