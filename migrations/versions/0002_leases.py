"""Leases that outlive their worker are known by their length; workers say what troubles them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retryd.store.schema import Script

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Leases that run now were given before anybody noted lengths: the longest of them counts, else it would be cut.
TABLES = """
create table retryd.lease_length (
    lease interval not null,
    used_at timestamptz not null
);
create index lease_length_lease_used_at_idx on retryd.lease_length (lease, used_at);
insert into retryd.lease_length (lease, used_at)
select least(max(q.lease_expires_at) - clock_timestamp(), interval '24 h'), clock_timestamp()
from retryd.retry_queue q
where q.state = 'processing'
having max(q.lease_expires_at) > clock_timestamp();

drop function if exists retryd.settle_retries(
    bigint[], bigint[], text[], float8[], text[], text[], text[], text[], text[], float8[]);

alter table retryd.worker
    add column alert text,
    add column alert_at timestamptz,
    add constraint worker_alert_check check ((alert is null) = (alert_at is null));
"""

# What stays of the functions is this version's: `retryd migrate` of the older one puts its own in their place.
DROP = """
drop view if exists retryd.retry_queue_alerts;
drop function if exists retryd.renew_leases(text, bigint[], bigint[], interval);
drop function if exists retryd.adopt_claims(text, bigint, interval);
drop function if exists retryd.settled_under(bigint[], bigint[]);
drop function if exists retryd.note_lease(interval);
drop function if exists retryd.clamp_leases(int);
drop function if exists retryd.worker_alert(text, text);
drop function if exists retryd.commit_durably();
drop function if exists retryd.settle_retries(
    bigint[], bigint[], text[], float8[], text[], text[], text[], text[], text[], float8[], boolean);
alter table retryd.worker drop column alert, drop column alert_at;
drop table retryd.lease_length;
"""


def upgrade(script: Script) -> None:
    """Add the table of lease lengths and the alert of a worker; a function has one argument more."""
    script.run(TABLES)


def downgrade(script: Script) -> None:
    """Take them away, with what stands on them."""
    script.run(DROP)
