-- The attempt succeeded: the retry is done. False: stale, nothing changed.
create or replace function retryd.complete_retry(id bigint, claim_token bigint) returns boolean
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    select retryd.complete_one(complete_retry.id, complete_retry.claim_token)
$$;

revoke all on function retryd.complete_retry(bigint, bigint) from public;
grant execute on function retryd.complete_retry(bigint, bigint) to retryd_worker;
