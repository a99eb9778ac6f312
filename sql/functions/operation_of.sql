-- The event type without one trailing .failed, .error or .timeout: what is to be run again.
create or replace function retryd.operation_of(event_type text) returns text
language sql immutable parallel safe
as $$ select regexp_replace(event_type, '^(.+)\.(failed|error|timeout)$', '\1') $$;

revoke all on function retryd.operation_of(text) from public;
grant execute on function retryd.operation_of(text) to retryd_worker, retryd_operator, retryd_reader;
