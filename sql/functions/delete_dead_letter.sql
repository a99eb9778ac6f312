-- Delete a dead letter for good: a batch of one. False: being retried, or no dead letter.
create or replace function retryd.delete_dead_letter(id bigint, reason text default null, actor text default session_user)
returns boolean
language sql volatile security definer
set search_path = retryd, pg_temp
as $$
    select exists (
        select from retryd.delete_dead_letters(
            array[delete_dead_letter.id], delete_dead_letter.reason, delete_dead_letter.actor))
$$;

revoke all on function retryd.delete_dead_letter(bigint, text, text) from public;
grant execute on function retryd.delete_dead_letter(bigint, text, text) to retryd_operator;
