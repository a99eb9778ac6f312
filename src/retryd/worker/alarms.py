"""Instants at which to be woken, few or many: one timer of the loop, for the first of them."""

from __future__ import annotations

import asyncio
import heapq
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PER_SECOND = 1000


class Alarms:
    """Calls `wake` at each instant that was set, up to a millisecond later."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._at: list[int] = []
        self._known: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """Wake in so many seconds; instants within a millisecond are one."""
        loop = asyncio.get_running_loop()
        at = math.ceil((loop.time() + seconds) * PER_SECOND)
        if at in self._known:
            return
        self._known.add(at)
        heapq.heappush(self._at, at)
        if self._at[0] == at:
            self._wait(loop)

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(self._at[0] / PER_SECOND, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time() * PER_SECOND
        while self._at and self._at[0] <= now:
            self._known.discard(heapq.heappop(self._at))
        if self._at:
            self._wait(loop)
        self._wake()
