-- What capture knows of each policy.
select p.name, p.match, p.priority, p.max_retries, p.max_age_seconds, p.first_delay_low, p.first_delay_high
from retryd.policies p
order by p.name;
