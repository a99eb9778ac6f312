-- What is wrong with a JSON value as payload or attributes, or null. The magnitude of numbers comes first: nine kilobytes
-- of exponents print as 131 MB, so the text may be made only after no number can be long.
create or replace function retryd.json_problem(label text, body jsonb, max_bytes int) returns text
language plpgsql immutable parallel safe
set search_path = retryd, pg_temp
as $$
declare
    long_digits constant text := '[0-9]{255}[0-9]{54}';  -- 255 is the most that one bound may say
    size int;
begin
    if jsonb_path_exists(body, 'strict $.** ? (@.type() == "number"
            && (@ >= 1e308 || @ <= -1e308 || (@ < 1e-308 && @ > -1e-308 && @ != 0)))') then
        return format('%s has a number of more than 308 digits; send it as a string', label);
    end if;
    size := octet_length(body::text);
    if size > max_bytes then
        return format('%s has %s bytes as text, at most %s are allowed; store it elsewhere and send a reference',
            label, size, max_bytes);
    end if;
    if size > 64 and jsonb_path_exists(body, 'strict $.**{64} ? (@.type() == "array" || @.type() == "object")') then
        return format('%s is nested deeper than 64 levels; flatten it', label);
    end if;
    if size > 308 and body::text ~ long_digits and jsonb_path_exists(body, 'strict $.** ? (@.type() == "number")')
        and exists (
            select from jsonb_path_query(body, 'strict $.** ? (@.type() == "number")') number
            where number::text ~ long_digits) then
        return format('%s has a number of more than 308 digits; send it as a string', label);
    end if;
    return null;
end
$$;

revoke all on function retryd.json_problem(text, jsonb, int) from public;
