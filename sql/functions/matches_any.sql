-- Does one of the patterns take a subject? As `matches` does, in one comparison: a sub-select costs more to start than to
-- run. Inlined, so it has no search_path of its own.
create or replace function retryd.matches_any(patterns text[], subject text) returns boolean
language sql stable parallel safe
as $$
    select subject like any (
        string_to_array(replace(replace(array_to_string(patterns, chr(31)), '_', '\_'), '*', '%'), chr(31)))
$$;

revoke all on function retryd.matches_any(text[], text) from public;
