-- Is any retry of the handlers $1 live, due or not?
select exists (
    select
    from retryd.retries r
    where r.place = 'live' and r.handler = any($1::text[])
);
