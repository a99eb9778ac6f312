-- A worker says what troubles it, for eyes only, in the view retry_queue_alerts; null: nothing any more. Unknown workers are
-- ignored.
create or replace function retryd.worker_alert(worker text, alert text) returns void
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    update retryd.worker w
    set alert = retryd.cut_text(worker_alert.alert, 8192),
        alert_at = case when worker_alert.alert is not null then retryd.now() end
    where w.id = worker_alert.worker and w.alert is distinct from retryd.cut_text(worker_alert.alert, 8192)
$$;

revoke all on function retryd.worker_alert(text, text) from public;
grant execute on function retryd.worker_alert(text, text) to retryd_worker;
