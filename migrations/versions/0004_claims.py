"""Claims and rescues begin behind what was done before: functions of their own, no table changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retryd.store.schema import Script

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

GONE = """
drop function if exists retryd.claim_row(retryd.retry_queue, retryd.failure_event);
"""

# What stays of the functions is this version's: `retryd migrate` of the older one puts its own in their place.
DROP = """
drop function if exists retryd.claim_retries(text, int, interval, text[], int[], timestamptz[], bigint[]);
drop function if exists retryd.claim_row(retryd.retry_queue, retryd.failure_event, timestamptz);
drop function if exists retryd.look_ahead(text, text[], float8);
drop function if exists retryd.rescue_retries(text, int, interval, interval);
"""


def upgrade(script: Script) -> None:
    """Drop what has another shape now: functions come with every `migrate`."""
    script.run(GONE)


def downgrade(script: Script) -> None:
    """Take the new functions away."""
    script.run(DROP)
