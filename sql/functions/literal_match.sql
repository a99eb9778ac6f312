-- The most literal characters of a pattern that takes a subject; null if none does.
create or replace function retryd.literal_match(patterns text[], subject text) returns int
language sql immutable parallel safe
set search_path = retryd, pg_temp
as $$
    select max(length(replace(pattern, '*', '')))
    from unnest(literal_match.patterns) pattern
    where retryd.matches(pattern, literal_match.subject)
$$;

revoke all on function retryd.literal_match(text[], text) from public;
