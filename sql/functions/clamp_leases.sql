-- Cut leases that end later than any lease given now would, to the longest length on record: after PostgreSQL's clock
-- stepped back, a dead worker's would live on for as long as the step. Returns how many; those that somebody else has
-- locked are left to the next pass. Forgets lengths that were not given for longer than themselves and a day. Locks:
-- retry_queue.
create or replace function retryd.clamp_leases(batch_size int) returns int
language plpgsql volatile security definer
set search_path = retryd, pg_temp
set plan_cache_mode = force_generic_plan  -- planning anew costs more than the call
set enable_seqscan = off  -- a plan made while the tables were empty must not read them whole later
set jit = off
as $$
declare
    late bigint[];
    latest timestamptz;
    moved int;
begin
    select array_agg(far.id)
    into late
    from (
        select q.id
        from retryd.retry_queue q
        where q.state = 'processing'
            and q.lease_expires_at > (select retryd.now() + max(l.lease) from retryd.lease_length l)
        order by q.lease_expires_at desc
        limit batch_size
        for update skip locked
    ) far;
    if late is not null then
        -- Only now: whoever renewed one of them with a longer lease than was on record has committed that length with it.
        select retryd.now() + max(l.lease) into latest from retryd.lease_length l;
        update retryd.retry_queue q
        set lease_expires_at = latest
        where q.id = any(late) and q.lease_expires_at > latest;
        get diagnostics moved = row_count;
    end if;
    delete from retryd.lease_length l
    where l.used_at < (select retryd.now()) - l.lease - interval '1 day';
    return coalesce(moved, 0);
end
$$;

revoke all on function retryd.clamp_leases(int) from public;
grant execute on function retryd.clamp_leases(int) to retryd_worker;
