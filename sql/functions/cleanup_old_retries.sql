-- Forget what ended longer ago than older_than: the log of attempts, done retries, dead letters that are resolved, and
-- events that nothing refers to any more, with their idempotency keys. Live retries and open dead letters stay. Returns the
-- rows that went, per table. Refuses a negative age with RT400.
create or replace function retryd.cleanup_old_retries(older_than interval) returns table (object text, rows bigint)
language plpgsql volatile security definer
set search_path = retryd, pg_temp
as $$
begin
    if older_than is null or older_than < interval '0' then
        raise exception 'older_than must be an interval of at least 0' using errcode = 'RT400';
    end if;
    return query
    values ('retry_attempt', retryd.prune_attempts(older_than, true)), ('retry_archive', retryd.prune_archive(older_than, true)),
        ('dead_letter', retryd.prune_dead_letters(older_than, true));
    return query
    values ('failure_event', retryd.prune_events(older_than, null));
end
$$;

revoke all on function retryd.cleanup_old_retries(interval) from public;
grant execute on function retryd.cleanup_old_retries(interval) to retryd_worker, retryd_operator;
