-- A worker is busy: capture need not ring for it.
create or replace function retryd.mark_awake(worker text) returns void
language sql volatile security definer
set search_path = retryd, pg_temp
as $$ delete from retryd.sleeper s where s.worker = mark_awake.worker $$;

revoke all on function retryd.mark_awake(text) from public;
grant execute on function retryd.mark_awake(text) to retryd_worker;
