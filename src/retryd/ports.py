"""The few Protocols that the worker needs from the world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from retryd.domain.decision import Decided
    from retryd.domain.outcome import Outcome
    from retryd.domain.retry import Retry


class Handler(Protocol):
    """Runs an operation again."""

    @property
    def name(self) -> str:
        """The durable name that retries carry."""

    @property
    def definition(self) -> Mapping[str, object]:
        """What the registry keeps: name, match, policy, dependency, kind."""

    @property
    def stoppable(self) -> bool:
        """Whether a cancellation ends an attempt: then the runner cancels it at its timeout."""

    async def run(self, retry: Retry, timeout_seconds: float) -> Outcome:
        """Make one attempt and report; never raises but when cancelled."""


class Observer(Protocol):
    """Hears what a worker does; each call is short and never raises."""

    def claimed(self, retries: int, seconds: float) -> None:
        """Report that a claim took this long and brought so many retries."""

    def settled(self, decided: Decided, result: str) -> None:
        """Report what became of a decision: `settled`, `stale`, `spent`, `refused`."""

    def rescued(self, retries: int) -> None:
        """Report that leases of lost workers were taken over."""
