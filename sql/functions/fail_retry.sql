-- Give up: the retry goes to the dead letters with a reason. False: stale, nothing changed. Refuses an unknown reason with
-- RT400.
create or replace function retryd.fail_retry(
    id bigint, claim_token bigint, reason text default 'rejected', error_type text default null,
    error_message text default null)
returns boolean
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    select s.outcome = 'settled'
    from retryd.settle_retries(array[fail_retry.id], array[fail_retry.claim_token], array['bury'],
        reasons => array[fail_retry.reason],
        outcomes => array[case fail_retry.reason when 'rejected' then 'rejected' else 'failure' end],
        error_types => array[fail_retry.error_type], error_messages => array[fail_retry.error_message]) s
$$;

revoke all on function retryd.fail_retry(bigint, bigint, text, text, text) from public;
grant execute on function retryd.fail_retry(bigint, bigint, text, text, text) to retryd_worker;
