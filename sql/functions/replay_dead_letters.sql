-- Put dead letters back: a new life of the same id each, due at once, their counts and age begun anew; claim tokens are
-- never reset. With an ordering key one queues behind what is live. Returns the ids that were among the dead; of the others
-- nothing changed. Locks: dead_letter by id ascending; nobody else can hold what is inserted into retry_queue.
create or replace function retryd.replay_dead_letters(
    ids bigint[], reason text default null, actor text default session_user)
returns setof bigint
language plpgsql volatile security definer
set search_path = retryd, pg_temp
as $$
declare
    revived bigint[];
    unrouted boolean;
    keyed_handlers text[];
    keys text[];
begin
    with dead as materialized (
        select d.id
        from retryd.dead_letter d
        where d.id = any(ids) and d.status in ('pending', 'failed')
        order by d.id
        for update
    ), reopened as (
        update retryd.dead_letter d
        set status = 'retrying', replays = d.replays + 1, replayed_at = (select retryd.now()), replayed_by = actor,
            replay_reason = replay_dead_letters.reason
        where d.id = any(array(select dead.id from dead)) and d.status in ('pending', 'failed')
        returning d.*
    ), queued as (
        insert into retryd.retry_queue as q (id, event, handler, policy, priority, ordering_key, state, max_retries, life,
            next_attempt_at, give_up_at)
        select r.id, r.event, h.name, r.policy, r.priority, r.ordering_key,
            case when r.ordering_key is null or h.name is null then 'pending' else 'parked' end, r.max_retries, r.life + 1,
            (select retryd.now()), (select retryd.now()) + p.max_age
        from reopened r
        left join retryd.retry_handler h on h.name = r.handler  -- a forgotten one leaves it to who matches
        left join retryd.retry_policy p on p.name = r.policy
        returning q.id, q.handler, q.ordering_key, q.state
    )
    select array_agg(q.id order by q.id), bool_or(q.handler is null),
        array_agg(q.handler) filter (where q.state = 'parked'),
        array_agg(q.ordering_key) filter (where q.state = 'parked')
    into revived, unrouted, keyed_handlers, keys
    from queued q;
    if cardinality(keys) <= 500 then  -- a lock each; of more the sweep lets go on what can
        perform retryd.unpark_retries(keyed_handlers, keys);
    end if;
    if unrouted then
        perform retryd.route_unrouted();
    end if;
    if revived is not null then
        perform retryd.ring(retryd.now());
    end if;
    return query select unnest(revived);
end
$$;

revoke all on function retryd.replay_dead_letters(bigint[], text, text) from public;
grant execute on function retryd.replay_dead_letters(bigint[], text, text) to retryd_operator;
