-- The ids of the next dead letters above $6, smallest first, at most $7. Null takes all: statuses $1, reason $2, handler $3,
-- pattern of the operation $4, died until $5.
select d.id
from retryd.dead_letters d
where d.id > $6::bigint
    and ($1::text[] is null or d.status = any($1))
    and ($2::text is null or d.reason = $2)
    and ($3::text is null or d.handler = $3)
    and ($4::text is null or retryd.matches($4, d.operation))
    and ($5::timestamptz is null or d.dead_at <= $5)
order by d.id
limit $7::int;
