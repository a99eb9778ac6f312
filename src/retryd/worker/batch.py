"""How much is asked of PostgreSQL at once: less after a failure, up to all again in steps."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Batch:
    """A size between 1 and `largest`: halved when a statement fails, doubled when it works.

    What runs into a timeout is never repeated at the same size for ever, the one item that cannot
    be written is soon alone, and what was held up by an outage comes back as a ramp.
    """

    def __init__(self, largest: int) -> None:
        self.largest = largest
        self.size = largest

    @contextmanager
    def trying(self, asked: int) -> Iterator[None]:
        """Run one statement in the context, one that asks for so many: the size, or less."""
        try:
            yield
        except Exception:
            self.size = max(1, asked // 2)
            raise
        self.size = min(self.largest, self.size * 2)
