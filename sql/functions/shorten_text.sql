-- The first max_bytes of a longer text, cut between characters and marked.
create or replace function retryd.shorten_text(content text, max_bytes int) returns text
language plpgsql immutable parallel safe
set search_path = retryd, pg_temp
as $$
declare
    mark constant text := '… [cut]';
    bytes bytea := convert_to(content, 'UTF8');
    keep int := max_bytes - octet_length(mark);
begin
    while (get_byte(bytes, keep) & 192) = 128 loop  -- a continuation byte would be the first one lost
        keep := keep - 1;
    end loop;
    return convert_from(substring(bytes from 1 for keep), 'UTF8') || mark;
end
$$;

revoke all on function retryd.shorten_text(text, int) from public;
