-- Accept up to 10,000 failure events at once, an array of objects with the keys of capture_failure. All or nothing: one bad
-- event refuses the call with RT400 and its index. Ids come in the order of the events.
create or replace function retryd.capture_failures(events jsonb) returns setof bigint
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    select unnest(s.ids)
    from retryd.store_events(retryd.read_events(capture_failures.events), true) s
    order by s.index
$$;

revoke all on function retryd.capture_failures(jsonb) from public;
grant execute on function retryd.capture_failures(jsonb) to retryd_producer, retryd_worker, retryd_operator;
