"""The gauges that are read from PostgreSQL: how much there is, and how long it has waited."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from prometheus_client import Gauge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client import CollectorRegistry

    from retryd.ports import Depths
    from retryd.telemetry.labels import HandlerLabels


STATUSES: Final = ("pending", "retrying", "failed", "resolved")


class DepthGauges:
    """Shows what was read last; every worker shows the same."""

    def __init__(self, registry: CollectorRegistry, label: HandlerLabels) -> None:
        self._label = label
        self._queue = Depth("retryd_queue_depth", "Live retries", registry, "handler", "state")
        self._oldest_due = Depth(
            "retryd_oldest_due_seconds", "How long the oldest due one waits", registry, "handler"
        )
        self._dead_letters = Depth("retryd_dead_letter_depth", "Dead letters", registry, "status")
        self._held = Depth(
            "retryd_lane_held", "1: no claim takes retries of it", registry, "handler", "reason"
        )
        self._alerts = Depth("retryd_alerts", "What needs a look", registry, "kind")

    def show(self, depths: Depths | None) -> None:
        """Show these; with None that nobody knows."""
        if depths is None:
            for depth in (
                self._queue,
                self._oldest_due,
                self._dead_letters,
                self._held,
                self._alerts,
            ):
                depth.unknown()
            return
        queue: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for (handler, state), count in depths.queue.items():
            queue[self._label(handler), state] += count
        oldest: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for handler, seconds in depths.oldest_due_seconds.items():
            label = self._label(handler)
            oldest[label,] = max(oldest[label,], seconds)
        self._queue.show(queue)
        self._oldest_due.show(oldest)
        # All of them, also where there is none: the first dead letter is a rise, not a beginning.
        self._dead_letters.show(
            {(status,): depths.dead_letters.get(status, 0) for status in STATUSES}
        )
        self._held.show({(self._label(handler), reason): 1 for handler, reason in depths.held})
        self._alerts.show({(kind,): count for kind, count in depths.alerts.items()})


class Depth:
    """One gauge; a value that is not there any more is zero."""

    def __init__(
        self, name: str, documentation: str, registry: CollectorRegistry, *labels: str
    ) -> None:
        self._gauge = Gauge(
            name, documentation, labels, registry=registry, multiprocess_mode="livemostrecent"
        )
        self._shown: set[tuple[str, ...]] = set()

    def show(self, values: Mapping[tuple[str, ...], float]) -> None:
        """Show these values by their labels."""
        for labels in self._shown - values.keys():
            self._gauge.labels(*labels).set(0)
        for labels, value in values.items():
            self._gauge.labels(*labels).set(value)
        self._shown |= values.keys()

    def unknown(self) -> None:
        """Show no number: an old one that stays would outweigh those of workers that can read."""
        for labels in tuple(self._shown):  # a scrape asks from another thread
            self._gauge.labels(*labels).set(math.nan)
