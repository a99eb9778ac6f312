-- A worker said good-bye.
create or replace function retryd.worker_gone(worker text) returns void
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    delete from retryd.sleeper s where s.worker = worker_gone.worker;
    delete from retryd.worker w where w.id = worker_gone.worker;
$$;

revoke all on function retryd.worker_gone(text) from public;
grant execute on function retryd.worker_gone(text) to retryd_worker;
