-- Give an attempt back that was not made: pending again, as due as before. False: stale, nothing changed.
create or replace function retryd.release_retry(id bigint, claim_token bigint) returns boolean
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    select s.outcome = 'settled'
    from retryd.settle_retries(array[release_retry.id], array[release_retry.claim_token], array['release']) s
$$;

revoke all on function retryd.release_retry(bigint, bigint) from public;
grant execute on function retryd.release_retry(bigint, bigint) to retryd_worker;
