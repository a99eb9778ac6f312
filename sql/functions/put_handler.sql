-- Write one handler's definition, routing nothing; true when it is new or changed. Refuses with RT400, an unknown policy
-- with RT404.
create or replace function retryd.put_handler(name text, match text[], policy text, dependency text, kind text)
returns boolean
language plpgsql volatile
set search_path = retryd, pg_temp
as $$
declare
    bad text;
begin
    if name is null or name !~ '^[A-Za-z0-9][A-Za-z0-9_.:-]*$' or length(name) > 200 then
        raise exception using errcode = 'RT400', message = format(
            'handler name %s must be 1 to 200 letters, digits and _ . : - and begin with a letter or digit',
            coalesce(quote_literal(name), 'null'));
    elsif coalesce(cardinality(match), 0) = 0 then
        raise exception using errcode = 'RT400', message = format(
            'handler %s has no pattern; name the operations that it runs, such as sql.*', name);
    elsif kind is null or kind = '' or length(kind) > 40 then
        raise exception using errcode = 'RT400', message = format('handler %s has no kind', name);
    end if;
    select p into bad
    from unnest(match) p
    where p is null or p !~ '^[A-Za-z0-9_.:*-]{1,200}$' or length(p) - length(replace(p, '*', '')) > 4
    limit 1;
    if found then
        raise exception using errcode = 'RT400', message = format(
            'handler %s: pattern %s may hold letters, digits, _ . : - and at most four *', name,
            coalesce(quote_literal(bad), 'null'));
    end if;
    if policy is not null and not exists (select from retryd.retry_policy p where p.name = put_handler.policy) then
        raise exception using errcode = 'RT404', message = format(
            'handler %s: there is no policy %s; publish it first', name, quote_literal(policy));
    end if;
    insert into retryd.retry_handler as h (name, match, policy, dependency, kind, registered_at)
    values (put_handler.name, put_handler.match, put_handler.policy, put_handler.dependency, put_handler.kind, retryd.now())
    on conflict on constraint retry_handler_pkey do update
    set match = excluded.match, policy = excluded.policy, dependency = excluded.dependency, kind = excluded.kind,
        registered_at = excluded.registered_at
    where (h.match, h.policy, h.dependency, h.kind)
        is distinct from (excluded.match, excluded.policy, excluded.dependency, excluded.kind);
    return found;
end
$$;

revoke all on function retryd.put_handler(text, text[], text, text, text) from public;
