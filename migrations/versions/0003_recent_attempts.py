"""Attempts of the last minute are found without reading the whole day; no policy lets its retries expire at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retryd.store.schema import Script

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Rows come in the order of their end and are never changed: a summary of each range of pages is enough, and costs a
# settlement nothing that could be measured.
UPGRADE = """
create index retry_attempt_ended_at_idx on retryd.retry_attempt
    using brin (ended_at) with (autosummarize = on);  -- codespell:ignore
alter table retryd.retry_policy add constraint retry_policy_max_age_check check (max_age > '0');
"""

# What stays of the views is this version's: `retryd migrate` of the older one puts its own in their place.
DOWNGRADE = """
drop view if exists retryd.dead_letter_export;
drop view if exists retryd.handler_activity;
drop view if exists retryd.workers;
drop view if exists retryd.policies;
drop index retryd.retry_attempt_ended_at_idx;
alter table retryd.retry_policy drop constraint retry_policy_max_age_check;
"""


def upgrade(script: Script) -> None:
    """Add the index to every partition, and the constraint."""
    script.run(UPGRADE)


def downgrade(script: Script) -> None:
    """Take them away."""
    script.run(DOWNGRADE)
