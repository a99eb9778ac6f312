-- Behind whom a parked retry waits, in words: the live one of its handler and ordering key, and how many stand between. A
-- part of explain_retry.
create or replace function retryd.explain_wait(handler text, ordering_key text, id bigint) returns text
language sql stable
set search_path = retryd, pg_temp
as $$
    select format('ordering key %s: ', quote_literal(explain_wait.ordering_key)) || coalesce(
        (select format('waits until retry %s, which is %s, has ended', q.id, q.state)
        from retryd.retry_queue q
        where q.handler = explain_wait.handler and q.ordering_key = explain_wait.ordering_key and q.state <> 'parked'),
        'nothing of it is live any more; the next worker that looks lets one go on')
        || format('; %s parked before it', (
            select count(*)
            from retryd.retry_queue q
            where q.handler = explain_wait.handler and q.ordering_key = explain_wait.ordering_key and q.state = 'parked'
                and q.id < explain_wait.id))
$$;

revoke all on function retryd.explain_wait(text, text, bigint) from public;
