-- Note that leases of this length are given; clamp_leases knows by it which lease is too long to be true. Writes about once
-- an hour per length, and waits for nobody: lengths need not be unique, so each claim brings what it does not see noted.
create or replace function retryd.note_lease(lease interval) returns void
language plpgsql volatile
set search_path = retryd, pg_temp
as $$
begin
    if not exists (
        select from retryd.lease_length l
        where l.lease = note_lease.lease and l.used_at > (select retryd.now()) - interval '1 h')
    then
        insert into retryd.lease_length (lease, used_at)
        values (note_lease.lease, retryd.now());
    end if;
end
$$;

revoke all on function retryd.note_lease(interval) from public;
