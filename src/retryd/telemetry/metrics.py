"""Prometheus metrics behind the port Observer; names are those of the contract."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, assert_never

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from retryd.domain.decision import Bury
from retryd.domain.outcome import Cancel, Failure, Lost, Reject, Snooze, Success

if TYPE_CHECKING:
    from retryd.domain.decision import Decided
    from retryd.domain.outcome import Outcome


class Metrics:
    """Counts what a worker does, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._attempts = Counter(
            "retryd_attempts", "Ended attempts", ["handler", "outcome"], registry=registry
        )
        self._duration = Histogram(
            "retryd_attempt_duration_seconds",
            "How long attempts ran",
            ["handler"],
            registry=registry,
        )
        # Looking a child up costs more than counting; handlers and outcomes are few.
        self._attempts_of = cache(self._attempts.labels)
        self._duration_of = cache(self._duration.labels)
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
            "retryd_last_claim_timestamp_seconds", "When the last claim ended", registry=registry
        )

    def claimed(self, retries: int, seconds: float) -> None:
        """Count a claim, whether it brought retries or not."""
        del retries
        self._claim.observe(seconds)
        self._last_claim.set_to_current_time()

    def settled(self, decided: Decided, result: str) -> None:
        """Count an ended attempt, a dead letter, a stale settlement; not what was given back."""
        handler = decided.retry.handler
        if result == "stale":
            self._stale.inc()
        if result != "settled":
            return
        if decided.outcome is not None:
            self._attempts_of(handler, word_of(decided.outcome)).inc()
        if decided.seconds is not None:
            self._duration_of(handler).observe(decided.seconds)
        if isinstance(decided.decision, Bury):
            self._dead.labels(handler, decided.decision.reason).inc()

    def rescued(self, retries: int) -> None:
        """Count leases that were taken over."""
        self._rescued.inc(retries)


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
