-- Refuse what no claim may ask for: RT400.
create or replace function retryd.check_lease(worker text, batch_size int, lease interval) returns void
language plpgsql immutable
set search_path = retryd, pg_temp
as $$
begin
    if worker is null or worker = '' or octet_length(worker) > 255 or starts_with(worker, 'rescue/') then
        raise exception using errcode = 'RT400', message = format(
            'worker %s must be 1 to 255 bytes and not begin with rescue/', coalesce(quote_literal(worker), 'null'));
    elsif batch_size is null or batch_size not between 1 and 10000 then
        raise exception using errcode = 'RT400', message = format(
            'batch_size %s is out of range 1 to 10000', coalesce(batch_size::text, 'null'));
    elsif lease is null or lease < interval '1 s' or lease > interval '24 h' then
        raise exception using errcode = 'RT400', message = format(
            'lease %s is out of range 1 s to 24 h', coalesce(lease::text, 'null'));
    end if;
end
$$;

revoke all on function retryd.check_lease(text, int, interval) from public;
