"""How often a look that may become dear is made: it costs a fixed part of the time at most."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Share:
    """Allows the next look after `times` as long as the last one took, at most after `longest`.

    Durations in seconds; the first `free` of a look count nothing. So looking takes one part in
    `times`, whatever a look has come to cost, and while it is cheap it is made often.
    """

    def __init__(self, times: float, longest: float, free: float = 0.0) -> None:
        self._times = times
        self._longest = longest
        self._free = free
        self._ended_at = -math.inf
        self._counts = 0.0

    @property
    def pause(self) -> float:
        """How many seconds to wait with the next look; 0: none."""
        return self.pause_of(self._times, self._ended_at)

    def pause_of(self, times: float, since: float) -> float:
        """Return the pause when looks take one part in `times` from `since` on."""
        first_at = max(since, self._ended_at) + min(times * self._counts, self._longest)
        return max(0.0, first_at - time.monotonic())

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look in the context."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._ended_at = time.monotonic()
            self._counts = max(0.0, self._ended_at - started - self._free)
