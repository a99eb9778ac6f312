"""Captures cost less: an index that only pruning used is gone, and functions have another shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retryd.store.schema import Script

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Pruning walks by id. A summary of ranges in its place would not do: pages whose events are gone are used again, and ranges
# only ever grow.
UPGRADE = """
drop index retryd.failure_event_captured_at_idx;
drop function if exists retryd.store_events(retryd.new_event[], boolean);
drop function if exists retryd.read_events(jsonb);
drop function if exists retryd.new_event_id();
"""

# The functions stay: captures of this version call them until `retryd migrate` of the older one puts its own in their place.
DOWNGRADE = """
drop view if exists retryd.dead_letter_depths;
create index failure_event_captured_at_idx on retryd.failure_event (captured_at);
"""


def upgrade(script: Script) -> None:
    """Drop the index, and what nothing calls any more."""
    script.run(UPGRADE)


def downgrade(script: Script) -> None:
    """Put the index back, and take the new view away."""
    script.run(DOWNGRADE)
