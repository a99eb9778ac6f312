-- Forget attempts that ended longer ago than older_than; returns how many. By whole days, unless exact.
create or replace function retryd.prune_attempts(older_than interval, exact boolean default false) returns bigint
language sql volatile security definer
set search_path = retryd, pg_temp
as $$ select retryd.drop_partitions('retry_attempt', older_than, exact) $$;

revoke all on function retryd.prune_attempts(interval, boolean) from public;
grant execute on function retryd.prune_attempts(interval, boolean) to retryd_worker;
