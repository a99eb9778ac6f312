-- The tokens of the HTTP API that are neither revoked nor expired, by what a worker knows them: the SHA-256 of the secret,
-- and the seconds for which each still lives (null: until it is revoked).
create or replace function retryd.live_tokens()
returns table (id bigint, name text, scopes text[], secret_sha256 bytea, expires_in_seconds float8)
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    select a.id, a.name, a.scopes, a.secret_sha256, extract(epoch from a.expires_at - t.now)::float8
    from retryd.api_token a, (select retryd.now() as now offset 0) t
    where a.revoked_at is null and (a.expires_at is null or a.expires_at > t.now)
    order by a.id
$$;

revoke all on function retryd.live_tokens() from public;
grant execute on function retryd.live_tokens() to retryd_worker;
