-- Tokens of the HTTP API, without what would let anybody use or guess one; state: live, expired or revoked.
create view retryd.api_tokens as
select a.id, a.name,
    case
        when a.revoked_at is not null then 'revoked'
        when a.expires_at <= (select retryd.now()) then 'expired'
        else 'live'
    end as state,
    a.scopes, a.created_at, a.created_by, a.expires_at, a.revoked_at, a.revoked_by, a.revoke_reason
from retryd.api_token a;

grant select on retryd.api_tokens to retryd_reader;
