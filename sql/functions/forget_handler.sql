-- Remove a handler from the registry. Its retries stay, without a handler, until a matching one is registered; what runs
-- may end. A capture that saw the handler and commits later leaves it a retry all the same: called again, this frees that
-- too. False: unknown. Locks: retry_handler, then retry_queue by id ascending.
create or replace function retryd.forget_handler(name text) returns boolean
language plpgsql volatile security definer
set search_path = retryd, pg_temp
as $$
declare
    known boolean;
begin
    delete from retryd.retry_handler h where h.name = forget_handler.name;
    known := found;
    with owned as materialized (
        select q.id
        from retryd.retry_queue q
        where q.handler = forget_handler.name
        order by q.id
        for update
    )
    update retryd.retry_queue q
    set handler = null, state = case q.state when 'parked' then 'pending' else q.state end
    where q.id = any(array(select o.id from owned o));
    return known or found;
end
$$;

revoke all on function retryd.forget_handler(text) from public;
grant execute on function retryd.forget_handler(text) to retryd_worker, retryd_operator;
