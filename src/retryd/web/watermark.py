"""The depth of the queue above which no more is taken: measured seldom, counted in between."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Final, Protocol

from retryd.domain.errors import RetrydError

if TYPE_CHECKING:
    from collections.abc import Callable

OLD_SECONDS: Final = 15.0
AGAIN_SECONDS: Final = 1.0


class Depth(Protocol):
    """Whoever can count the live retries."""

    async def queue_depth(self, at_most: int) -> int:
        """Count the live retries, but no further than this."""


class Watermark:
    """Lets events pass as long as they would keep the queue below `limit`; None: always.

    The queue is counted when the last count is older than 15 s, or too much has come since; then
    once a second at most. While PostgreSQL is away all may pass: what becomes of it is for others.
    """

    def __init__(
        self, depth: Depth, limit: int | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._depth = depth
        self._limit = limit
        self._clock = clock
        self._counted: int | None = None
        self._since = 0
        self._at = -math.inf
        self._counting = asyncio.Lock()

    async def has_room(self, events: int) -> bool:
        """Tell whether so many events may come in, and count them if so."""
        if self._limit is None:
            return True
        if self._passes(events, self._limit):
            if self._age() > OLD_SECONDS and not self._counting.locked():
                await self._count(self._limit)
        else:
            await self._count(self._limit)
        if not self._passes(events, self._limit):
            return False
        self._since += events
        return True

    def _passes(self, events: int, limit: int) -> bool:
        return self._counted is not None and self._counted + self._since + events <= limit

    def _age(self) -> float:
        return self._clock() - self._at

    async def _count(self, limit: int) -> None:
        """Count anew, unless somebody has just done it."""
        async with self._counting:
            if self._age() < AGAIN_SECONDS:
                return
            self._at = self._clock()
            before = self._since
            try:
                self._counted = await self._depth.queue_depth(limit)
            except RetrydError:
                self._counted = 0
                self._at += AGAIN_SECONDS - OLD_SECONDS  # and is old in a second
            self._since -= before
