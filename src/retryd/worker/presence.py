"""Tells people that this worker lives and what it serves; nothing is decided by it."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from typing import TYPE_CHECKING

from typing_extensions import override

from retryd.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterable

    from retryd.ports import Handler
    from retryd.store.queue import Queue

EVERY_SECONDS = 10.0


class Presence(Service):
    """Keeps the row of this worker fresh."""

    def __init__(self, queue: Queue, handlers: Iterable[Handler], version: str) -> None:
        super().__init__()
        self._queue = queue
        self._version = version
        self._handlers = {handler.name: fingerprint(handler) for handler in handlers}
        self._alert: str | None = None
        self._alert_told = True

    def alert(self, text: str | None) -> None:
        """Tell people what is wrong with this worker; None: nothing any more."""
        self._alert = text
        self._alert_told = False
        self.wake()

    @override
    async def step(self) -> float:
        """Give a sign of life."""
        await self._queue.worker_seen(
            socket.gethostname(), os.getpid(), self._version, self._handlers
        )
        if not self._alert_told:
            await self._queue.worker_alert(self._alert)
            self._alert_told = True
        return EVERY_SECONDS


def fingerprint(handler: Handler) -> str:
    """Return a short hash of a handler's definition: workers that differ in it disagree."""
    text = json.dumps(handler.definition, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
