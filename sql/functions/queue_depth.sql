-- How many retries are live, counted up to at_most: for doors that close when there are too many.
create or replace function retryd.queue_depth(at_most bigint) returns bigint
language sql stable security definer
set search_path = retryd, pg_temp
as $$
    select count(*) from (select from retryd.retry_queue limit greatest(at_most, 0)) q
$$;

revoke all on function retryd.queue_depth(bigint) from public;
grant execute on function retryd.queue_depth(bigint) to retryd_worker;
