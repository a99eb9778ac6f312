-- Let the caller's transaction be on disk when it has committed, however its role is set. What a crash took back would be
-- done again, under claim tokens that were given already: they come from a sequence, whose log may be lost with it.
create or replace function retryd.commit_durably() returns void
language sql volatile
set search_path = retryd, pg_temp
as $$
    select set_config('synchronous_commit', 'on', true)
    where current_setting('synchronous_commit') = 'off'
$$;

revoke all on function retryd.commit_durably() from public;
