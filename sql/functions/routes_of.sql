-- Who gets the events of an operation, and under which policy: the handlers that match, of which the first by name is
-- marked, or one row without a handler. Inlined, so it has no search_path of its own.
create or replace function retryd.routes_of(operation text)
returns table (
    is_first boolean, handler text, policy text, priority smallint, max_retries int, max_age interval, low float8,
    high float8)
language sql stable
as $$
    select
        not exists (
            select
            from retryd.retry_handler before
            where before.name < h.name and retryd.matches_any(before.match, routes_of.operation)),
        h.name, p.name, p.priority, p.max_retries, p.max_age, p.first_delay_low, p.first_delay_high
    from (select) event
    left join retryd.retry_handler h on retryd.matches_any(h.match, routes_of.operation)
    cross join lateral retryd.policies_of(h.policy, routes_of.operation) p
$$;

revoke all on function retryd.routes_of(text) from public;
