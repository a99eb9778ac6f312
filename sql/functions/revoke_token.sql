-- End a token of the HTTP API for good; workers refuse it within seconds. False: unknown, or revoked already.
create or replace function retryd.revoke_token(id bigint, reason text default null, actor text default session_user)
returns boolean
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    with revoked as (
        update retryd.api_token a
        set revoked_at = (select retryd.now()), revoked_by = coalesce(revoke_token.actor, session_user),
            revoke_reason = revoke_token.reason
        where a.id = revoke_token.id and a.revoked_at is null
        returning a.id
    )
    select exists (select from revoked)
$$;

revoke all on function retryd.revoke_token(bigint, text, text) from public;
grant execute on function retryd.revoke_token(bigint, text, text) to retryd_operator;
