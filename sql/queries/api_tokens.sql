-- Tokens of the HTTP API, the newest first; with $1 also those that live no more.
select a.id, a.name, a.state, a.scopes, a.created_at, a.created_by, a.expires_at, a.revoked_at, a.revoked_by, a.revoke_reason
from retryd.api_tokens a
where $1::boolean or a.state = 'live'
order by a.id desc;
