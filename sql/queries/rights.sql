-- What this user may call and read in the schema, by name.
select
    p.proname::text as name,
    bool_and(has_schema_privilege(p.pronamespace, 'usage') and has_function_privilege(p.oid, 'execute')) as may
from pg_catalog.pg_proc p
where p.pronamespace = to_regnamespace('retryd')
group by p.proname
union all
select
    c.relname::text as name,
    has_schema_privilege(c.relnamespace, 'usage') and has_table_privilege(c.oid, 'select') as may
from pg_catalog.pg_class c
where c.relnamespace = to_regnamespace('retryd') and c.relkind = 'v';
