"""How often a look that may become dear is made: it costs a fixed part of the time at most."""

from __future__ import annotations

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
        self._next_at = 0.0

    @property
    def pause(self) -> float:
        """How many seconds to wait with the next look; 0: none."""
        return max(0.0, self._next_at - time.monotonic())

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look in the context."""
        started = time.monotonic()
        try:
            yield
        finally:
            ended = time.monotonic()
            counts = max(0.0, ended - started - self._free)
            self._next_at = ended + min(self._times * counts, self._longest)
