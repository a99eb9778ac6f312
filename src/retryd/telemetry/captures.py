"""What doors other than SQL took in, by operation and source."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter

from retryd.domain.patterns import operation_of
from retryd.telemetry.labels import OTHER, PairLabels

WHAT: Final = ("operation", "source")


class Captures:
    """Counts events; may be called from any thread."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._label = PairLabels()
        self._captured = Counter(
            "retryd_captured",
            "Events that came in over HTTP",
            WHAT,
            registry=registry or CollectorRegistry(),
        )
        # What is shared between processes keeps its values in a file, which has to be opened now.
        self._captured.labels(OTHER, OTHER)

    def count(self, event_type: str, source: str) -> None:
        """Count an event."""
        self._captured.labels(*self._label(operation_of(event_type), source)).inc()
