"""Makes the partitions of the next days and forgets what is past its retention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from retryd.service import Service

if TYPE_CHECKING:
    from retryd.store.queue import Queue

EVERY_SECONDS = 3600.0
EVENTS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Retention:
    """How many days things are kept after their end."""

    completed_days: float
    attempts_days: float
    dead_letter_days: float


class Pruner(Service):
    """Any worker prunes for all, hourly; a pass that PostgreSQL gave up is not begun at once."""

    shortest_pause_seconds, longest_pause_seconds = 60.0, 600.0

    def __init__(self, queue: Queue, retention: Retention) -> None:
        super().__init__()
        self._queue = queue
        self._retention = retention

    @override
    async def step(self) -> float:
        """Prune once. Events go last, when nothing refers to them any more."""
        await self._queue.ensure_partitions()
        await self._queue.prune_attempts(self._retention.attempts_days)
        await self._queue.prune_archive(self._retention.completed_days)
        await self._queue.prune_dead_letters(self._retention.dead_letter_days)
        await self._queue.prune_workers()
        pruned = await self._queue.prune_events(self._retention.completed_days, EVENTS_AT_ONCE)
        return 0 if pruned == EVENTS_AT_ONCE else EVERY_SECONDS
