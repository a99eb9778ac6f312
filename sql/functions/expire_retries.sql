-- Retries whose age limit has passed go to the dead letters, reason expired; returns how many.
create or replace function retryd.expire_retries(batch_size int) returns int
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    select count(*)::int from retryd.bury_expired(expire_retries.batch_size)
$$;

revoke all on function retryd.expire_retries(int) from public;
grant execute on function retryd.expire_retries(int) to retryd_worker;
