"""Finds what two transactions missed in each other: stranded followers, unrouted retries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from retryd.service import Service
from retryd.worker.batch import Batch

if TYPE_CHECKING:
    from retryd.store.queue import Queue

BATCH = 500


class Sweeper(Service):
    """The second look behind capture: nothing waits for ever because of a race."""

    def __init__(self, queue: Queue, every_seconds: float) -> None:
        super().__init__()
        self._queue = queue
        self._every_seconds = every_seconds
        self._batch = Batch(BATCH)

    @override
    async def step(self) -> float:
        """Look once."""
        await self._queue.route_unrouted()
        size = self._batch.size
        with self._batch.trying(size):
            moved = await self._queue.unpark_stranded(size)
        return 0 if moved == size else self._every_seconds
