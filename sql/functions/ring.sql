-- Wake idle workers, if one sleeps past the instant at which something is due. A hint: nothing is lost without it.
create or replace function retryd.ring(due timestamptz) returns void
language sql volatile
set search_path = retryd, pg_temp
as $$
    select pg_notify('retryd', '')
    where case when exists (
            select from retryd.sleeper s
            where s.wakes_at > ring.due and s.wakes_at > (select retryd.now()))
        -- NOTIFY into a full queue, which any session of the server can cause, fails the commit of our caller.
        then pg_notification_queue_usage() < 0.5 end
$$;

revoke all on function retryd.ring(timestamptz) from public;
