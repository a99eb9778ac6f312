-- A worker's sign of life, for eyes only: nothing is decided by it. handlers: name to a hash of its definition.
create or replace function retryd.worker_seen(worker text, host text, pid int, version text, handlers jsonb) returns void
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    insert into retryd.worker (id, host, pid, version, handlers, started_at, seen_at)
    values (worker_seen.worker, worker_seen.host, worker_seen.pid, worker_seen.version, worker_seen.handlers,
        retryd.now(), retryd.now())
    on conflict (id) do update
    set handlers = excluded.handlers, seen_at = excluded.seen_at
$$;

revoke all on function retryd.worker_seen(text, text, int, text, jsonb) from public;
grant execute on function retryd.worker_seen(text, text, int, text, jsonb) to retryd_worker;
