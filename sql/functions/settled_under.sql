-- Those tokens under which an attempt's end is on record: after a connection broke, a settlement that answers stale was ours
-- if its token comes back. A release and what is settled under a rescue lease leave no record.
create or replace function retryd.settled_under(ids bigint[], tokens bigint[]) returns setof bigint
language sql stable security definer
set search_path = retryd, pg_temp
set enable_seqscan = off  -- a plan made while the tables were empty must not read them whole later
as $$
    select item.token
    from unnest(settled_under.ids, settled_under.tokens) item (id, token)
    cross join lateral (
        select
        from retryd.retry_attempt a
        where a.retry = item.id and a.claim_token = item.token and a.outcome <> 'lost'
        limit 1
    ) ended
$$;

revoke all on function retryd.settled_under(bigint[], bigint[]) from public;
grant execute on function retryd.settled_under(bigint[], bigint[]) to retryd_worker;
