-- The attempt succeeded: the retry is done. False: stale, nothing changed.
create or replace function retryd.complete_retry(id bigint, claim_token bigint) returns boolean
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    select s.outcome = 'settled'
    from retryd.settle_retries(array[complete_retry.id], array[complete_retry.claim_token], array['complete'],
        outcomes => array['success']) s
$$;

revoke all on function retryd.complete_retry(bigint, bigint) from public;
grant execute on function retryd.complete_retry(bigint, bigint) to retryd_worker;
