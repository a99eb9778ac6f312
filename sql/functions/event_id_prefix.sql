-- The first 24 characters of the ids of events that come without one. With the event's own number in 12 hexadecimal digits
-- behind it, each is a UUID version 7: ordered by time, so that the unique index grows at its right edge, and nowhere twice.
-- The 26 bits of chance are from random(): gen_random_uuid() asks the kernel, which costs as much as storing a row.
-- Inlined, so it has no search_path of its own.
create or replace function retryd.event_id_prefix(moment timestamptz) returns text
language sql volatile parallel safe
as $$
    select left((
        lpad(to_hex((extract(epoch from moment) * 1000)::bigint), 12, '0')
        || to_hex(1879080960 + ((random() * 268435455)::bigint & 268386303))  -- 7xxx and 8xxx to bxxx
        || '000000000000')::uuid::text, 24)
$$;

revoke all on function retryd.event_id_prefix(timestamptz) from public;
