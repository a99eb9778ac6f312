-- The policy of an operation as one value; see policies_of.
create or replace function retryd.policy_for(handler_policy text, operation text) returns retryd.retry_policy
language sql stable
set search_path = retryd, pg_temp
as $$ select p from retryd.policies_of(policy_for.handler_policy, policy_for.operation) p $$;

revoke all on function retryd.policy_for(text, text) from public;
