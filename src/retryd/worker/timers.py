"""Timers for attempts: of many that are set nearly all are cancelled, so both must cost little."""

from __future__ import annotations

import asyncio
import heapq
import time
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# As many cancelled ones may lie around beside those that run.
SLACK = 64


class Timer:
    """Calls back once, unless it is cancelled before."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call


class Timers:
    """One timer of the event loop for all attempts: set to the earliest.

    A timer of the loop for each attempt would cost as much as all the rest of a short one.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._numbers = count()
        self._live = 0
        self._armed: asyncio.TimerHandle | None = None

    @property
    def kept(self) -> int:
        """How many there are, cancelled ones that are not yet forgotten among them."""
        return len(self._heap)

    def after(self, now: float, seconds: float, call: Callable[[], object]) -> Timer:
        """Call this so many seconds after `now`, a time of `time.monotonic`."""
        timer = Timer(call)
        heap = self._heap
        if len(heap) > 2 * self._live + SLACK:
            heap[:] = [entry for entry in heap if entry[2].call is not None]
            heapq.heapify(heap)
        entry = (now + seconds, next(self._numbers), timer)
        heapq.heappush(heap, entry)
        self._live += 1
        if heap[0] is entry:
            self._arm(seconds)
        return timer

    def cancel(self, timer: Timer) -> None:
        """Forget a timer; one that has called back, or was cancelled, stays as it is."""
        if timer.call is not None:
            timer.call = None
            self._live -= 1

    def _arm(self, seconds: float) -> None:
        if self._armed is not None:
            self._armed.cancel()
        self._armed = asyncio.get_running_loop().call_later(max(0.0, seconds), self._ring)

    def _ring(self) -> None:
        """Call back what is due, and set the loop's timer to the next that is not cancelled."""
        self._armed = None
        now = time.monotonic()
        while self._heap:
            at, _, timer = self._heap[0]
            call = timer.call
            if call is not None and at > now:
                self._arm(at - now)
                return
            heapq.heappop(self._heap)
            if call is not None:
                self.cancel(timer)
                call()
