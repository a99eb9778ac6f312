-- At most max_bytes of a text, marked when something was lost. Null stays null. Inlined, so it has no search_path of its own
-- and the usual short text costs nothing.
create or replace function retryd.cut_text(content text, max_bytes int) returns text
language sql immutable parallel safe
as $$
    select case when octet_length(content) > max_bytes then retryd.shorten_text(content, max_bytes) else content end
$$;

revoke all on function retryd.cut_text(text, int) from public;
