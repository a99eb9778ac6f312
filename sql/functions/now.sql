-- PostgreSQL's clock, the only one that decides. In predicates write (select retryd.now()): a bare volatile call cannot
-- bound an index. Replaceable in tests, which is why nothing else calls clock_timestamp().
create or replace function retryd.now() returns timestamptz
language sql volatile parallel safe
as $$ select clock_timestamp() $$;

revoke all on function retryd.now() from public;
grant execute on function retryd.now() to retryd_worker, retryd_operator, retryd_reader;
