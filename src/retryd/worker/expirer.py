"""Buries retries that are older than their policy allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from retryd.service import Service
from retryd.worker.batch import Batch

if TYPE_CHECKING:
    from retryd.ports import Observer
    from retryd.store.queue import Queue

BATCH = 500


class Expirer(Service):
    """Any worker expires for all; each pass is one statement that others skip around."""

    def __init__(self, queue: Queue, observer: Observer, every_seconds: float) -> None:
        super().__init__()
        self._queue = queue
        self._observer = observer
        self._every_seconds = every_seconds
        self._batch = Batch(BATCH)

    @override
    async def step(self) -> float:
        """Bury one batch."""
        size = self._batch.size
        with self._batch.trying(size):
            dead = await self._queue.bury_expired(size)
        for buried in dead:
            self._observer.expired(buried)
        return 0 if len(dead) == size else self._every_seconds
