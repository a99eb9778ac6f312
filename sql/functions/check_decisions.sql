-- Refuse a settlement that makes no sense before anything is written: RT400.
create or replace function retryd.check_decisions(
    ids bigint[], tokens bigint[], decisions text[], reasons text[], outcomes text[])
returns void
language plpgsql immutable
set search_path = retryd, pg_temp
as $$
declare
    bad text;
begin
    if cardinality(ids) is distinct from cardinality(tokens) or cardinality(ids) is distinct from cardinality(decisions) then
        raise exception 'ids, tokens and decisions must be arrays of one length' using errcode = 'RT400';
    end if;
    if not decisions <@ array['complete', 'cancel', 'reschedule', 'bury', 'release', 'snooze'] then
        select d into bad
        from unnest(decisions) d
        where (d in ('complete', 'cancel', 'reschedule', 'bury', 'release', 'snooze')) is not true
        limit 1;
        raise exception using errcode = 'RT400', message = format(
            'decision %s is not one of complete, cancel, reschedule, bury, release, snooze',
            coalesce(quote_literal(bad), 'null'));
    end if;
    if 'bury' = any(decisions) then
        select i.reason into bad
        from unnest(decisions, reasons) i (decision, reason)
        where i.decision = 'bury' and (i.reason is null or i.reason not in (
            'exhausted', 'rejected', 'expired', 'undecodable', 'worker_lost', 'snoozed_out', 'loop'))
        limit 1;
        if found then
            raise exception using errcode = 'RT400', message = format(
                'reason %s is not one of exhausted, rejected, expired, undecodable, worker_lost, snoozed_out, loop',
                coalesce(quote_literal(bad), 'null'));
        end if;
    end if;
    if not outcomes <@ array['success', 'failure', 'snoozed', 'rejected', 'cancelled', 'lost'] then  -- nulls are fine
        select o into bad
        from unnest(outcomes) o
        where o not in ('success', 'failure', 'snoozed', 'rejected', 'cancelled', 'lost')
        limit 1;
        if found then
            raise exception using errcode = 'RT400', message = format(
                'outcome %s is not one of success, failure, snoozed, rejected, cancelled, lost', quote_literal(bad));
        end if;
    end if;
end
$$;

revoke all on function retryd.check_decisions(bigint[], bigint[], text[], text[], text[]) from public;
