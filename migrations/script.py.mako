"""${message}"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retryd.store.schema import Script

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade(script: Script) -> None:
    """Say what this revision makes."""


def downgrade(script: Script) -> None:
    """Say what going back takes away."""
