-- At most max_bytes of a text, cut between characters and marked when something was lost. Null stays null.
create or replace function retryd.cut_text(content text, max_bytes int) returns text
language plpgsql immutable parallel safe
set search_path = retryd, pg_temp
as $$
declare
    mark constant text := '… [cut]';
    bytes bytea;
    keep int := max_bytes - octet_length(mark);
begin
    if content is null or octet_length(content) <= max_bytes then
        return content;
    end if;
    bytes := convert_to(content, 'UTF8');
    while (get_byte(bytes, keep) & 192) = 128 loop  -- a continuation byte would be the first one lost
        keep := keep - 1;
    end loop;
    return convert_from(substring(bytes from 1 for keep), 'UTF8') || mark;
end
$$;

revoke all on function retryd.cut_text(text, int) from public;
