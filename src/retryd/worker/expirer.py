"""Buries retries that are older than their policy allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from retryd.worker.service import Service

if TYPE_CHECKING:
    from retryd.store.queue import Queue

BATCH = 500


class Expirer(Service):
    """Any worker expires for all; each pass is one statement that others skip around."""

    def __init__(self, queue: Queue, every_seconds: float) -> None:
        super().__init__()
        self._queue = queue
        self._every_seconds = every_seconds

    @override
    async def step(self) -> float:
        """Bury one batch."""
        moved = await self._queue.expire_retries(BATCH)
        return 0 if moved == BATCH else self._every_seconds
