-- The policy of an operation: the handler's own, else the matching one with most literal characters (tie: smaller name),
-- else `default`.
create or replace function retryd.policy_for(handler_policy text, operation text) returns retryd.retry_policy
language sql stable
set search_path = retryd, pg_temp
as $$
    select p
    from retryd.retry_policy p
    left join lateral (
        select max(length(replace(pattern, '*', ''))) as literal
        from unnest(p.match) pattern
        where retryd.matches(pattern, policy_for.operation)
    ) best on true
    where p.name = policy_for.handler_policy or best.literal is not null or p.name = 'default'
    order by p.name = policy_for.handler_policy desc nulls last, best.literal desc nulls last, p.name
    limit 1
$$;

revoke all on function retryd.policy_for(text, text) from public;
