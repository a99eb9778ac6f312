-- Register a worker's handlers together, an array of objects with the keys of register_handler; returns the names that are
-- new or changed. Together, so that an unrouted event which several of them match reaches each.
-- Locks: retry_handler by name, so that two workers that start at once cannot deadlock.
create or replace function retryd.publish_handlers(handlers jsonb) returns setof text
language plpgsql volatile security definer
set search_path = retryd, pg_temp
as $$
begin
    return query
    select h.name
    from (
        select d.*
        from jsonb_to_recordset(handlers) d (name text, match text[], policy text, dependency text, kind text)
        order by d.name
        offset 0  -- else they are written before they are put in order
    ) h
    where retryd.put_handler(h.name, h.match, h.policy, h.dependency, h.kind);
    perform retryd.route_unrouted();
end
$$;

revoke all on function retryd.publish_handlers(jsonb) from public;
grant execute on function retryd.publish_handlers(jsonb) to retryd_worker;
