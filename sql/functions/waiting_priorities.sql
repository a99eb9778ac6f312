-- The priorities at which something waits, smallest first: one step of the index each, only as far as they are asked for.
-- Inlined, so it has no search_path of its own.
create or replace function retryd.waiting_priorities() returns setof smallint
language sql stable
as $$
    with recursive level as (
        (
            select q.priority
            from retryd.retry_queue q
            where q.state = 'pending' and q.handler is not null
            order by q.priority
            limit 1
        )
        union all
        select higher.priority
        from level
        cross join lateral (
            select q.priority
            from retryd.retry_queue q
            where q.state = 'pending' and q.handler is not null and q.priority > level.priority
            order by q.priority
            limit 1
        ) higher
    )
    select level.priority from level
$$;

revoke all on function retryd.waiting_priorities() from public;
