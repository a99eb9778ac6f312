-- The one policy of an operation: the handler's own, else the matching one with most literal characters (tie: smaller name),
-- else `default`. Inlined, so it has no search_path of its own.
create or replace function retryd.policies_of(handler_policy text, operation text) returns setof retryd.retry_policy
language sql stable
as $$
    select p.*
    from retryd.retry_policy p
    where p.name = policies_of.handler_policy or p.name = 'default' or retryd.matches_any(p.match, policies_of.operation)
    order by p.name = policies_of.handler_policy desc nulls last,
        case
            when not retryd.matches_any(p.match, policies_of.operation) then null
            when cardinality(p.match) = 1 then length(replace(p.match[1], '*', ''))
            else retryd.literal_match(p.match, policies_of.operation)
        end desc nulls last, p.name
    limit 1
$$;

revoke all on function retryd.policies_of(text, text) from public;
