-- Register a handler, or change it: the newest definition of a name wins. Takes the waiting retries that match and have no
-- handler. True when new or changed. Refuses with RT400, an unknown policy with RT404.
create or replace function retryd.register_handler(
    name text, match text[], policy text default null, dependency text default null, kind text default 'external')
returns boolean
language plpgsql volatile security definer
set search_path = retryd, pg_temp
as $$
begin
    if not retryd.put_handler(name, match, policy, dependency, kind) then
        return false;
    end if;
    perform retryd.route_unrouted();
    return true;
end
$$;

revoke all on function retryd.register_handler(text, text[], text, text, text) from public;
grant execute on function retryd.register_handler(text, text[], text, text, text) to retryd_worker, retryd_operator;
