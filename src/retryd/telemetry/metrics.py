"""Prometheus metrics behind the port Observer; names are those of the contract."""

from __future__ import annotations

import platform
import time
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, assert_never

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from retryd.domain.decision import Bury
from retryd.domain.outcome import Cancel, Failure, Lost, Reject, Snooze, Success
from retryd.telemetry.captures import Captures
from retryd.telemetry.depths import DepthGauges
from retryd.telemetry.durations import Durations
from retryd.telemetry.exposition import expose
from retryd.telemetry.labels import HandlerLabels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from retryd.domain.decision import Decided
    from retryd.domain.outcome import Outcome
    from retryd.ports import Buried, Depths

OLD_SECONDS = 60.0


PICKUP_BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
    *(2.5, 5, 10, 30, 60, 300, 1800, 7200),
)


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a process can tell about itself at any time."""

    overrunning_threads: int
    connections_in_use: int
    connections_idle: int
    connections_max: int
    ready: bool
    spool_records: float = 0


class Metrics:
    """Counts what a worker does, on a registry of its own.

    A gauge's mode says what its values of several processes make together. Each mode that is used
    has a gauge that is set from the start, so that `shared_values` finds all files opened.
    """

    def __init__(self, version: str = "unknown") -> None:
        self.registry = CollectorRegistry()
        self._label = HandlerLabels()
        self._depths = DepthGauges(self.registry, self._label)
        self._measured_at = time.monotonic()
        self._vitals: Callable[[], Vitals] | None = None
        self._late: defaultdict[str, list[float]] = defaultdict(list)
        self.captures = Captures(self.registry)
        self._make_counts()
        self._make_vitals(version)

    def _make_counts(self) -> None:
        registry = self.registry
        attempts = Counter(
            "retryd_attempts", "Ended attempts", ["handler", "outcome"], registry=registry
        )
        duration = Durations(
            "retryd_attempt_duration_seconds",
            "How long attempts ran",
            ["handler"],
            registry=registry,
        )
        pickup = Durations(
            "retryd_pickup_delay_seconds",
            "How late attempts began: due to started",
            ["handler"],
            registry=registry,
            buckets=PICKUP_BUCKETS,
        )
        # Looking a child up costs more than counting; handlers and outcomes are few.
        self._attempts_of = cache(attempts.labels)
        self._duration_of = cache(duration.labels)
        self._pickup_of = cache(pickup.labels)
        self._dead = Counter(
            "retryd_dead_letters",
            "Retries that were buried",
            ["handler", "reason"],
            registry=registry,
        )
        self._stale = Counter(
            "retryd_stale_settlements", "Settlements that came too late", registry=registry
        )
        self._rescued = Counter(
            "retryd_rescued", "Leases taken over from lost workers", registry=registry
        )
        self._claim = Histogram(
            "retryd_claim_duration_seconds", "How long claims took", registry=registry
        )
        self._last_claim = Gauge(
            "retryd_last_claim_timestamp_seconds",
            "When the last claim ended",
            registry=registry,
            multiprocess_mode="max",
        )

    def _make_vitals(self, version: str) -> None:
        registry = self.registry
        self._ready = Gauge(
            "retryd_ready",
            "Processes that take work",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._overrunning = Gauge(
            "retryd_overrunning_threads",
            "Plain functions that run on after their timeout",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._connections = Gauge(
            "retryd_db_pool_connections",
            "Connections to PostgreSQL: in use, idle, and the most there may be",
            ["state"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._spool = Gauge(
            "retryd_spool_records",
            "Records that wait in the spools of this machine",
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        build = Gauge(
            "retryd_build_info",
            "Always 1; the labels tell what runs",
            ["version", "python"],
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        build.labels(version, platform.python_version()).set(1)

    def serve(self, handlers: Iterable[str]) -> None:
        """Give these handlers their labels, before those of other workers take all the room."""
        for handler in handlers:
            self._label(handler)

    def claimed(self, retries: int, seconds: float) -> None:
        """Count a claim, whether it brought retries or not."""
        del retries
        self._claim.observe(seconds)
        self._last_claim.set_to_current_time()
        self._count_started()

    def started(self, handler: str, seconds: float) -> None:
        """Note how late an attempt began: counted with the next claim or settlement."""
        self._late[handler].append(seconds)

    def settled(self, decided: Sequence[Decided], results: Sequence[str]) -> None:
        """Count ended attempts, dead letters, stale settlements; not what was given back."""
        ended: defaultdict[tuple[str, str], int] = defaultdict(int)
        took: defaultdict[str, list[float]] = defaultdict(list)
        for (retry, outcome, decision, seconds), result in zip(decided, results, strict=True):
            if result == "stale":
                self._stale.inc()
            if result != "settled":
                continue
            if outcome is not None:
                ended[retry.handler, word_of(outcome)] += 1
            if seconds is not None:
                took[retry.handler].append(seconds)
            if type(decision) is Bury:
                self._dead.labels(self._label(retry.handler), decision.reason).inc()
        for (handler, word), count in ended.items():
            self._attempts_of(self._label(handler), word).inc(count)
        for handler, durations in took.items():
            self._duration_of(self._label(handler)).observe_all(durations)
        self._count_started()

    def _count_started(self) -> None:
        for handler, delays in self._late.items():
            self._pickup_of(self._label(handler)).observe_all(delays)
        self._late.clear()

    def rescued(self, retries: int) -> None:
        """Count leases that were taken over."""
        self._rescued.inc(retries)

    def expired(self, buried: Buried) -> None:
        """Count a retry that died of its age."""
        self._dead.labels(self._label(buried.handler), "expired").inc()

    def measured(self, depths: Depths | None) -> None:
        """Show how much there is in PostgreSQL; NaN while nobody knows."""
        self.refresh()
        self._measured_at = time.monotonic()
        self._depths.show(depths)

    def watch(self, vitals: Callable[[], Vitals]) -> None:
        """Ask this from now on, from any thread, when its gauges are to be shown."""
        self._vitals = vitals

    def refresh(self) -> None:
        """Show threads, connections and spools as they are now."""
        if self._vitals is None:
            return
        now = self._vitals()
        self._ready.set(now.ready)
        self._overrunning.set(now.overrunning_threads)
        self._connections.labels("in_use").set(now.connections_in_use)
        self._connections.labels("idle").set(now.connections_idle)
        self._connections.labels("max").set(now.connections_max)
        self._spool.set(now.spool_records)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Return the text of a scrape and its content type."""
        self.refresh()
        if time.monotonic() - self._measured_at > OLD_SECONDS:  # a handler blocks the event loop
            self._depths.show(None)
        return expose(self.registry, accept)


def word_of(outcome: Outcome) -> str:
    """Return an outcome's label, the word that the log of attempts has for it."""
    match outcome:
        case Success():
            return "success"
        case Failure():
            return "failure"
        case Snooze():
            return "snoozed"
        case Reject():
            return "rejected"
        case Cancel():
            return "cancelled"
        case Lost():
            return "lost"
        case _:
            assert_never(outcome)
