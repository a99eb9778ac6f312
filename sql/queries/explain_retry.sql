-- Why the retry $1 is not running; no row: the id is unknown.
select e.reason, e.detail, e.since, e.until
from retryd.explain_retry($1::bigint) e;
