"""A histogram that takes many durations at once, for those that come thousands a second."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client import Histogram

if TYPE_CHECKING:
    from collections.abc import Collection


class Durations(Histogram):
    """Takes a lock for each bucket that gets anything, not for each duration."""

    def observe_all(self, amounts: Collection[float]) -> None:
        """Do what `observe` does for each of these."""
        bounds = self._upper_bounds
        for bucket, count in Counter([bisect_left(bounds, amount) for amount in amounts]).items():
            self._buckets[bucket].inc(count)
        self._sum.inc(sum(amounts))
