-- Let the smallest id of each given (handler, ordering key) go on if none of the key is live. A lock per key that nobody
-- waits for keeps two writers apart to the end of their transactions; whoever does not get it, or finds the row locked,
-- leaves the key to the sweep (unpark_stranded): the caller holds larger ids, so waiting would be against the lock order.
-- The second statement takes a new snapshot, so it sees what the last holder of the lock committed.
create or replace function retryd.unpark_retries(handlers text[], keys text[]) returns bigint
language plpgsql volatile
set search_path = retryd, pg_temp
as $$
declare
    locked_handlers text[];
    locked_keys text[];
    due timestamptz;
    moved bigint;
begin
    select array_agg(k.handler), array_agg(k.key)
    into locked_handlers, locked_keys
    from (select distinct h as handler, o as key from unnest(handlers, keys) w (h, o)) k
    where pg_try_advisory_xact_lock(hashtextextended(k.handler || chr(1) || k.key, 7387));

    with follower as materialized (
        select q.id
        from retryd.retry_queue q
        where q.state = 'parked'
            and q.id = any(array(
                select (
                    select p.id
                    from retryd.retry_queue p
                    where p.handler = k.handler and p.ordering_key = k.key and p.state = 'parked'
                    order by p.id
                    limit 1)
                from unnest(locked_handlers, locked_keys) k (handler, key)
                where not exists (
                    select
                    from retryd.retry_queue live
                    where live.handler = k.handler and live.ordering_key = k.key and live.state <> 'parked')))
        for update skip locked
    ), freed as (
        update retryd.retry_queue q
        set state = 'pending'
        where q.id = any(array(select f.id from follower f)) and q.state = 'parked'
        returning q.next_attempt_at
    )
    select count(*), min(f.next_attempt_at) into moved, due from freed f;
    perform retryd.ring(due);
    return moved;
end
$$;

revoke all on function retryd.unpark_retries(text[], text[]) from public;
