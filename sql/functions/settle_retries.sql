-- Write many decisions at once: the only writer of a held retry. decisions: complete, cancel, reschedule, bury, release,
-- snooze; delays in seconds (clamped to 0 … 366 days); seconds: how long the attempt ran. Returns a row per item, in order:
-- settled; stale (id and token are not the current claim: nothing changed); spent (it cannot go back: nothing changed);
-- with waiting false also busy (another session has the row locked: nothing changed, ask again).
-- Locks: retry_queue by id ascending, then dead_letter.
create or replace function retryd.settle_retries(
    ids bigint[], tokens bigint[], decisions text[], delays float8[] default null, reasons text[] default null,
    outcomes text[] default null, error_types text[] default null, error_messages text[] default null,
    error_stacks text[] default null, seconds float8[] default null, waiting boolean default true)
returns table (id bigint, outcome text)
language plpgsql volatile security definer
set search_path = retryd, pg_temp
set plan_cache_mode = force_generic_plan  -- planning anew costs more than the call
set enable_seqscan = off  -- a plan made while the tables were empty must not read them whole later
set jit = off
as $$
declare
    at timestamptz;
    results text[];
    ended_handlers text[];
    ended_keys text[];
    due timestamptz;
begin
    perform retryd.commit_durably();
    perform retryd.check_decisions(ids, tokens, decisions, reasons, outcomes);
    if waiting then
        perform from retryd.retry_queue q where q.id = any(settle_retries.ids) order by q.id for update;
    end if;
    at := retryd.now();

    with mine as materialized (
        select distinct on (l.id) l.*, i.n, i.decision, i.reason, i.seconds, i.error_type,
            retryd.cut_text(i.error_message, 8192) as error_message, retryd.cut_text(i.error_stack, 65536) as error_stack,
            case when i.decision in ('reschedule', 'snooze') then
                at + least(greatest(coalesce(i.delay, 0), 0), 31622400) * interval '1 s' end as due,
            coalesce(i.outcome, case i.decision
                when 'complete' then 'success'
                when 'cancel' then 'cancelled'
                when 'snooze' then 'snoozed'
                else 'failure'
            end) as outcome, starts_with(l.claimed_by, 'rescue/') as rescue,
            case
                when i.decision in ('complete', 'cancel', 'bury') then false
                when l.lost_attempts >= 1000 then true
                when i.decision = 'reschedule' then l.attempt - l.lost_attempts >= l.max_retries
                when i.decision = 'snooze' then l.snoozes >= 1000
                else false
            end as spent
        from (  -- unnest behind select hands on row by row; in from it would keep each array in a store of its own
            select generate_series(1, cardinality(ids)) as n, unnest(ids) as id, unnest(tokens) as token,
                unnest(decisions) as decision, unnest(delays) as delay, unnest(reasons) as reason,
                unnest(outcomes) as outcome, unnest(error_types) as error_type,
                unnest(error_messages) as error_message, unnest(error_stacks) as error_stack,
                unnest(settle_retries.seconds) as seconds
        ) i
        join (  -- locks by id before anything is written; without a limit, a second run would lock the same
            select q.id, q.event, q.handler, q.policy, q.priority, q.ordering_key, q.attempt, q.lost_attempts,
                q.max_retries, q.snoozes, q.life, q.claimed_by, q.claim_token
            from retryd.retry_queue q
            where q.id = any(settle_retries.ids)
            order by q.id
            for update skip locked
        ) l on i.id = l.id and i.token = l.claim_token
        order by l.id, i.n
    ), gone as (
        delete from retryd.retry_queue q
        where q.id = any(array(select m.id from mine m where m.decision in ('complete', 'cancel', 'bury')))
    ), back as (
        update retryd.retry_queue q
        set state = 'pending', claimed_by = null, claim_token = null, lease_expires_at = null,
            attempt = q.attempt - case when m.decision = 'reschedule' or m.rescue then 0 else 1 end,
            snoozes = q.snoozes + case when m.decision = 'snooze' then 1 else 0 end,
            next_attempt_at = coalesce(m.due, q.next_attempt_at)
        from mine m
        where q.id = m.id and m.decision in ('reschedule', 'release', 'snooze') and not m.spent
        returning q.next_attempt_at
    ), logged as (
        insert into retryd.retry_attempt (retry, life, claim_token, attempt, handler, worker, started_at, ended_at,
            outcome, error_type, error_message, error_stack, next_attempt_at)
        select m.id, m.life, m.claim_token, m.attempt, m.handler, m.claimed_by,
            case when m.seconds >= 0 then at - least(m.seconds, 31622400) * interval '1 s' end, at,
            m.outcome, m.error_type, m.error_message, m.error_stack, m.due
        from mine m
        where m.decision <> 'release' and not m.spent and not m.rescue
    ), archived as (
        insert into retryd.retry_archive (id, event, handler, policy, priority, ordering_key, attempt, lost_attempts,
            max_retries, snoozes, life, ended, ended_at)
        select m.id, m.event, m.handler, m.policy, m.priority, m.ordering_key, m.attempt, m.lost_attempts,
            m.max_retries, m.snoozes, m.life, case m.decision when 'complete' then 'completed' else 'cancelled' end, at
        from mine m
        where m.decision in ('complete', 'cancel')
    ), closed as (
        update retryd.dead_letter d
        set status = 'resolved', resolved_at = at, resolved_by = case
            when d.id in (select m.id from mine m where m.decision = 'complete') then 'success' else 'cancellation' end
        where d.id = any(array(select m.id from mine m where m.life > 1 and m.decision in ('complete', 'cancel')))
    ), buried as (
        insert into retryd.dead_letter as d (id, event, handler, policy, priority, ordering_key, attempt, lost_attempts,
            max_retries, snoozes, life, status, reason, error_type, error_message, error_stack, dead_at)
        select m.id, m.event, m.handler, m.policy, m.priority, m.ordering_key, m.attempt, m.lost_attempts,
            m.max_retries, m.snoozes, m.life, 'pending', m.reason, coalesce(m.error_type, e.error_type),
            case when m.error_type is null then coalesce(m.error_message, e.error_message) else m.error_message end,
            case when m.error_type is null then e.error_stack else m.error_stack end, at
        from mine m
        join retryd.failure_event e on e.id = m.event
        where m.decision = 'bury'
        order by m.id
        on conflict on constraint dead_letter_pkey do update
        set status = 'failed', reason = excluded.reason, handler = excluded.handler, policy = excluded.policy,
            max_retries = excluded.max_retries, attempt = excluded.attempt, lost_attempts = excluded.lost_attempts,
            snoozes = excluded.snoozes, life = excluded.life, error_type = excluded.error_type,
            error_message = excluded.error_message, error_stack = excluded.error_stack, dead_at = excluded.dead_at
    )
    select case when count(*) filter (where not m.spent) < cardinality(ids) then array(
            select case
                when own.spent then 'spent'
                when own.id is not null then 'settled'
                when i.id not in (select other.id from mine other) and exists (
                    select from retryd.retry_queue q where q.id = i.id and q.claim_token = i.token) then 'busy'
                else 'stale'
            end
            from unnest(ids, tokens) with ordinality i (id, token, n)
            left join mine own on own.id = i.id and own.n = i.n
            order by i.n) end,
        array_agg(m.handler) filter (where m.ordering_key is not null and m.decision in ('complete', 'cancel', 'bury')),
        array_agg(m.ordering_key) filter (where m.ordering_key is not null and m.decision in ('complete', 'cancel', 'bury')),
        (select min(b.next_attempt_at) from back b)
    into results, ended_handlers, ended_keys, due
    from mine m;

    if ended_keys is not null then
        perform retryd.unpark_retries(ended_handlers, ended_keys);
    end if;
    if due is not null then
        perform retryd.ring(due);
    end if;
    return query select r.id, coalesce(r.outcome, 'settled') from unnest(ids, results) r (id, outcome);
end
$$;

revoke all on function retryd.settle_retries(
    bigint[], bigint[], text[], float8[], text[], text[], text[], text[], text[], float8[], boolean) from public;
grant execute on function retryd.settle_retries(
    bigint[], bigint[], text[], float8[], text[], text[], text[], text[], text[], float8[], boolean) to retryd_worker;
