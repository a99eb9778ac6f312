-- What capture knows of each policy, published by a worker's configuration or by `retryd policy apply`. Durations are in
-- seconds; the first delay is drawn between its bounds.
create view retryd.policies as
select p.name, p.match, p.priority::int as priority, p.max_retries, extract(epoch from p.max_age)::float8 as max_age_seconds,
    p.first_delay_low, p.first_delay_high
from retryd.retry_policy p;

grant select on retryd.policies to retryd_reader;
