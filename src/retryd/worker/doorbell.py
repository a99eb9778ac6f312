"""Hears PostgreSQL ring and wakes the claimer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from retryd.service import Service
from retryd.store.listener import open_listener

if TYPE_CHECKING:
    from collections.abc import Callable

CHECK_SECONDS = 10.0


class Doorbell(Service):
    """Listens on a connection of its own; after a broken one it rings once, for what was missed."""

    def __init__(self, dsn: str, application: str, on_ring: Callable[[], None]) -> None:
        super().__init__()
        self._dsn = dsn
        self._application = application
        self._on_ring = on_ring

    @override
    async def step(self) -> float:
        """Listen until stopped; raises DatabaseUnavailable when the connection dies."""
        async with open_listener(self._dsn, self._application, self._on_ring) as listener:
            self._on_ring()
            while not self.stopping:
                await self.rest(CHECK_SECONDS)
                await listener.check()
        return 0
