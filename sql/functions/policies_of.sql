-- The one policy of an operation: the handler's own, else the matching one with most literal characters (tie: smaller name),
-- else `default`. Inlined, so it has no search_path of its own.
create or replace function retryd.policies_of(handler_policy text, operation text) returns setof retryd.retry_policy
language sql stable
as $$
    select p.*
    from retryd.retry_policy p
    left join lateral (
        select max(length(replace(pattern, '*', ''))) as literal
        from unnest(p.match) pattern
        where retryd.matches(pattern, policies_of.operation)
    ) best on true
    where p.name = policies_of.handler_policy or best.literal is not null or p.name = 'default'
    order by p.name = policies_of.handler_policy desc nulls last, best.literal desc nulls last, p.name
    limit 1
$$;

revoke all on function retryd.policies_of(text, text) from public;
