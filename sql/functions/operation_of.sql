-- The event type without one trailing .failed, .error or .timeout: what is to be run again.
create or replace function retryd.operation_of(event_type text) returns text
language sql immutable parallel safe
as $$
    select case
        when event_type like '_%.failed' then left(event_type, -7)
        when event_type like '_%.error' then left(event_type, -6)
        when event_type like '_%.timeout' then left(event_type, -8)
        else event_type
    end
$$;

revoke all on function retryd.operation_of(text) from public;
grant execute on function retryd.operation_of(text) to retryd_worker, retryd_operator, retryd_reader;
