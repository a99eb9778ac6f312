-- A UUID version 7: unique everywhere and ordered by time, so that the unique index grows at its right edge.
create or replace function retryd.new_event_id() returns text
language sql volatile parallel safe
as $$
    select encode(
        set_bit(set_bit(overlay(
            uuid_send(gen_random_uuid())
            placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
            from 1 for 6), 52, 1), 53, 1), 'hex')::uuid::text
$$;

revoke all on function retryd.new_event_id() from public;
