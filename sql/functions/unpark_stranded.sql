-- The sweep behind ordering keys: parked retries whose predecessor ended while they were being captured. Steps from key to
-- key through the index of parked retries; returns how many went on.
create or replace function retryd.unpark_stranded(batch_size int) returns bigint
language plpgsql volatile security definer
set search_path = retryd, pg_temp
as $$
declare
    handlers text[];
    keys text[];
begin
    with recursive key as (
        (
            select p.handler, p.ordering_key
            from retryd.retry_queue p
            where p.state = 'parked'
            order by p.handler, p.ordering_key
            limit 1
        )
        union all
        select later.handler, later.ordering_key
        from key
        cross join lateral (
            select p.handler, p.ordering_key
            from retryd.retry_queue p
            where p.state = 'parked' and (p.handler, p.ordering_key) > (key.handler, key.ordering_key)
            order by p.handler, p.ordering_key
            limit 1
        ) later
    ), stranded as (
        select key.handler, key.ordering_key
        from key
        where not exists (
            select
            from retryd.retry_queue live
            where live.handler = key.handler and live.ordering_key = key.ordering_key and live.state <> 'parked')
        limit batch_size
    )
    select array_agg(s.handler), array_agg(s.ordering_key) into handlers, keys from stranded s;
    if handlers is null then
        return 0;
    end if;
    return retryd.unpark_retries(handlers, keys);
end
$$;

revoke all on function retryd.unpark_stranded(int) from public;
grant execute on function retryd.unpark_stranded(int) to retryd_worker;
