-- Put a dead letter back: a batch of one. False: not among the dead, nothing changed.
create or replace function retryd.replay_dead_letter(id bigint, reason text default null, actor text default session_user)
returns boolean
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    select exists (
        select from retryd.replay_dead_letters(
            array[replay_dead_letter.id], replay_dead_letter.reason, replay_dead_letter.actor))
$$;

revoke all on function retryd.replay_dead_letter(bigint, text, text) from public;
grant execute on function retryd.replay_dead_letter(bigint, text, text) to retryd_operator;
