-- Who gets the events of an operation, and under which policy: the handlers that match, numbered by name, or one row without
-- a handler. Inlined, so it has no search_path of its own.
create or replace function retryd.routes_of(operation text)
returns table (nth bigint, handler text, policy text, priority smallint, max_retries int, max_age interval, low float8, high float8)
language sql stable
as $$
    select row_number() over (order by h.name), h.name, p.name, p.priority, p.max_retries, p.max_age, p.first_delay_low,
        p.first_delay_high
    from (select) event
    left join retryd.retry_handler h
        on exists (select from unnest(h.match) pattern where retryd.matches(pattern, routes_of.operation))
    cross join lateral retryd.policies_of(h.policy, routes_of.operation) p
$$;

revoke all on function retryd.routes_of(text) from public;
