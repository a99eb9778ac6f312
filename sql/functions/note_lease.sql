-- Note that leases of this length are given; clamp_leases knows by it which lease is too long to be true. Writes once an
-- hour per length, and waits for nobody: a length that another open transaction is noting is left to that one.
create or replace function retryd.note_lease(lease interval) returns void
language plpgsql volatile
set search_path = retryd, pg_temp
as $$
begin
    if exists (
        select from retryd.lease_length l
        where l.lease = note_lease.lease and l.used_at > (select retryd.now()) - interval '1 h')
    then
        return;
    end if;
    if pg_try_advisory_xact_lock(hashtextextended('retryd.lease_length/' || extract(epoch from lease), 7387)) then
        insert into retryd.lease_length as l (lease, used_at)
        values (note_lease.lease, retryd.now())
        on conflict on constraint lease_length_pkey do update
        set used_at = excluded.used_at;
    end if;
end
$$;

revoke all on function retryd.note_lease(interval) from public;
