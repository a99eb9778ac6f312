-- The lines of the next dead letters with ids above $6, smallest first: as many as $7, but no more than begin within about
-- $8 bytes. Null takes all: statuses $1, reason $2, handler $3, pattern of the operation $4, died until $5.
with page as materialized (
    select x.id, x.bytes
    from retryd.dead_letter_export x
    where x.id > $6::bigint
        and ($1::text[] is null or x.status = any($1))
        and ($2::text is null or x.reason = $2)
        and ($3::text is null or x.handler = $3)
        and ($4::text is null or retryd.matches($4, x.operation))
        and ($5::timestamptz is null or x.dead_at <= $5)
    order by x.id
    limit $7::int
), fitting as (
    select p.id, sum(p.bytes) over (order by p.id) - p.bytes as bytes_before
    from page p
)
select x.id, x.line::text as line
from fitting f
join retryd.dead_letter_export x on x.id = f.id
where f.bytes_before < $8::bigint
order by x.id;
