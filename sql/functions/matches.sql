-- Does a pattern take a subject? `*` stands for any run of characters, dots included, empty too. Inlined by the planner,
-- so it has no search_path of its own; every name in it is built in.
create or replace function retryd.matches(pattern text, subject text) returns boolean
language sql immutable parallel safe
as $$ select subject like replace(replace(pattern, '_', '\_'), '*', '%') $$;

revoke all on function retryd.matches(text, text) from public;
grant execute on function retryd.matches(text, text) to retryd_worker, retryd_operator, retryd_reader;
