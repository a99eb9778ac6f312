-- Write what capture needs to know of policies, an array of objects: name, match, priority, max_retries, max_age_seconds,
-- first_delay_low, first_delay_high (seconds). Returns the names that are new or changed. Policies not named stay.
create or replace function retryd.publish_policies(policies jsonb) returns setof text
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    insert into retryd.retry_policy as p (name, match, priority, max_retries, max_age, first_delay_low, first_delay_high)
    select n.name, coalesce(n.match, '{}'), n.priority, n.max_retries, n.max_age_seconds * interval '1 s',
        n.first_delay_low, n.first_delay_high
    from jsonb_to_recordset(publish_policies.policies) n (name text, match text[], priority smallint, max_retries int,
        max_age_seconds float8, first_delay_low float8, first_delay_high float8)
    order by n.name
    on conflict (name) do update
    set match = excluded.match, priority = excluded.priority, max_retries = excluded.max_retries,
        max_age = excluded.max_age, first_delay_low = excluded.first_delay_low,
        first_delay_high = excluded.first_delay_high
    where (p.match, p.priority, p.max_retries, p.max_age, p.first_delay_low, p.first_delay_high)
        is distinct from (excluded.match, excluded.priority, excluded.max_retries, excluded.max_age,
            excluded.first_delay_low, excluded.first_delay_high)
    returning p.name
$$;

revoke all on function retryd.publish_policies(jsonb) from public;
grant execute on function retryd.publish_policies(jsonb) to retryd_worker, retryd_operator;
