-- Keep a token of the HTTP API by the SHA-256 of its secret, which never comes here; returns its id. It lives until it is
-- revoked or, with expires_in, for that long. Names may repeat: so one token can take over from another. Refuses with RT400.
create or replace function retryd.create_token(
    name text, scopes text[], secret_sha256 bytea, expires_in interval default null, actor text default session_user)
returns bigint
language plpgsql volatile security definer
set search_path = retryd, pg_temp
as $$
declare
    bad text;
    created bigint;
begin
    if name is null or octet_length(name) not between 1 and 255 then
        raise exception using errcode = 'RT400', message = format(
            'token name %s must be 1 to 255 bytes', coalesce(quote_literal(left(name, 40)), 'null'));
    elsif coalesce(cardinality(scopes), 0) = 0 then
        raise exception using errcode = 'RT400', message = format(
            'token %s has no scope; give one or more of ingest, read, payload, operate, admin', quote_literal(name));
    elsif secret_sha256 is null or octet_length(secret_sha256) <> 32 then
        raise exception using errcode = 'RT400', message = format(
            'token %s: secret_sha256 must be the 32 bytes of a SHA-256', quote_literal(name));
    elsif expires_in <= interval '0' or expires_in > interval '36500 days' then
        raise exception using errcode = 'RT400', message = format(
            'token %s: expires_in %s must be more than 0 and at most 36500 days', quote_literal(name), expires_in);
    end if;
    select s into bad
    from unnest(scopes) s
    where s is null or s not in ('ingest', 'read', 'payload', 'operate', 'admin')
    limit 1;
    if found then
        raise exception using errcode = 'RT400', message = format(
            'token %s: scope %s is not one of ingest, read, payload, operate, admin', quote_literal(name),
            coalesce(quote_literal(left(bad, 40)), 'null'));
    end if;
    insert into retryd.api_token (name, scopes, secret_sha256, created_at, created_by, expires_at)
    select create_token.name, array(select distinct s from unnest(create_token.scopes) s order by s),
        create_token.secret_sha256, t.now, coalesce(create_token.actor, session_user), t.now + create_token.expires_in
    from (select retryd.now() as now) t
    returning api_token.id into created;
    return created;
end
$$;

revoke all on function retryd.create_token(text, text[], bytea, interval, text) from public;
grant execute on function retryd.create_token(text, text[], bytea, interval, text) to retryd_operator;
