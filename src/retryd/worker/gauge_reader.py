"""Reads for the gauges how much there is in PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING

from typing_extensions import override

from retryd.domain.errors import DatabaseUnavailable
from retryd.ports import Depths
from retryd.service import Service
from retryd.worker.share import Share

if TYPE_CHECKING:
    from collections.abc import Iterable

    from retryd.ports import Observer
    from retryd.store.reads import Reads, Row

EVERY_SECONDS = 15.0
PATIENCE_SECONDS = 5.0
# To count a million retries takes PostgreSQL some tenths of a second. Gauges are trusted for 60 s.
LOOK_TIMES, LOOK_SECONDS = 9.0, 45.0

logger = logging.getLogger("retryd.worker")


class GaugeReader(Service):
    """Every worker reads for itself: what they show is equal, whichever of them is asked.

    A fleet that starts together does not read together. Readings take a tenth of the time at most;
    one that takes longer than `patience_seconds` is broken off, in PostgreSQL as well. Tells the
    log when another live worker means something else by the name of a handler of `serves`.
    """

    begins_within_seconds = EVERY_SECONDS

    def __init__(
        self,
        reads: Reads,
        observer: Observer,
        serves: Iterable[str] = (),
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        super().__init__()
        self._reads = reads
        self._observer = observer
        self._serves = frozenset(serves)
        self._patience_seconds = patience_seconds
        self._conflicts: frozenset[str] = frozenset()
        self._looks = Share(LOOK_TIMES, LOOK_SECONDS)

    @override
    async def step(self) -> float:
        """Read once."""
        try:
            with self._looks.looking():
                async with asyncio.timeout(self._patience_seconds):
                    handlers = await self._reads.handler_activity()
                    dead = await self._reads.dead_letter_depths()
                    alerts = await self._reads.retry_queue_alerts()
        except TimeoutError as error:
            self._observer.measured(None)
            message = f"the gauges could not be read within {self._patience_seconds:g} s"
            raise DatabaseUnavailable(message) from error
        except DatabaseUnavailable:
            self._observer.measured(None)
            raise
        self._observer.measured(depths_of(handlers, dead, alerts))
        self._tell_conflicts(alerts)
        return max(EVERY_SECONDS, self._looks.pause)

    @override
    def pause_after(self, failures: int) -> float:
        """Wait longer after a reading that was broken off."""
        return max(super().pause_after(failures), self._looks.pause)

    def _tell_conflicts(self, alerts: Iterable[Row]) -> None:
        """Tell of each once, while it lasts."""
        found = {row["subject"] for row in alerts if row["kind"] == "handler_conflict"}
        conflicts = self._serves & found
        for name in sorted(conflicts - self._conflicts):
            remedy = "another live worker has another definition of it: rename one of the two"
            logger.warning("handler_conflict", extra={"handler": name, "remedy": remedy})
        self._conflicts = conflicts


def depths_of(handlers: Iterable[Row], dead: Iterable[Row], alerts: Iterable[Row]) -> Depths:
    """Make gauges of rows of handler_activity, dead_letter_depths and retry_queue_alerts."""
    queue: dict[tuple[str | None, str], int] = {}
    oldest: dict[str | None, float] = {}
    held = []
    for row in handlers:
        handler = row["handler"]
        queue[handler, "pending"] = row["due"] + row["waiting"]
        queue[handler, "processing"] = row["processing"]
        queue[handler, "parked"] = row["parked"]
        oldest[handler] = row["oldest_due_seconds"] or 0.0
        if row["held"] is not None:
            held.append((handler, row["held"]))
    statuses = {row["status"]: row["count"] for row in dead}
    return Depths(queue, oldest, statuses, held, Counter(row["kind"] for row in alerts))
