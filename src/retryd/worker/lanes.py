"""What the claimer knows of its lanes: where something waits, from when on, and where to begin."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from retryd.ports import Lane

# How long a lane is walked in which nothing waits any more: what comes next is had without a look.
KEPT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Known:
    """A lane that is worth walking from `ready_at` on; something was in it at `seen_at`."""

    lane: Lane
    ready_at: float
    seen_at: float


class Lanes:
    """The lanes that a look found or a claim came through. Times are `time.monotonic`.

    It may be wrong in one way only, by not knowing of something: the next look finds it.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], Known] = {}
        self._first_at = math.inf

    def ready(self, now: float) -> list[Lane]:
        """Return the lanes in which something may be due."""
        return [known.lane for known in self._known.values() if known.ready_at <= now]

    def due_in(self, now: float) -> float:
        """Return the seconds until the first of what the last look found is due, 0 if one is."""
        return max(0.0, self._first_at - now)

    def next_in(self, now: float) -> float:
        """Return the seconds until something that is known and not due yet is due."""
        later = (known.ready_at for known in self._known.values() if known.ready_at > now)
        return min(later, default=math.inf) - now

    def claimed(self, lanes: Iterable[Lane], now: float) -> None:
        """Begin behind what was claimed."""
        for lane in lanes:
            self._known[lane.handler, lane.priority] = Known(lane, now, now)

    def looked(self, found: Iterable[tuple[Lane, float]], empty: datetime, now: float) -> None:
        """Take over what a look found, each with the seconds until it is due.

        In other lanes there was nothing before `empty`.
        """
        kept = {
            key: replace(known, lane=replace(known.lane, since=empty, after=0), ready_at=now)
            for key, known in self._known.items()
            if now - known.seen_at < KEPT_SECONDS
        }
        heads = {
            (lane.handler, lane.priority): Known(lane, now + due_in, now) for lane, due_in in found
        }
        self._known = kept | heads
        self._first_at = min((head.ready_at for head in heads.values()), default=math.inf)
