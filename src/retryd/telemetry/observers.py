"""Several observers as one: what a worker does is counted, and told."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retryd.domain.decision import Decided
    from retryd.ports import Buried, Depths, Observer


class Observers:
    """Lets each of them hear everything, in their order."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def claimed(self, retries: int, seconds: float) -> None:
        """Pass on a claim."""
        for each in self._observers:
            each.claimed(retries, seconds)

    def started(self, handler: str, seconds: float) -> None:
        """Pass on that an attempt began."""
        for each in self._observers:
            each.started(handler, seconds)

    def settled(self, decided: Sequence[Decided], results: Sequence[str]) -> None:
        """Pass on what became of decisions."""
        for each in self._observers:
            each.settled(decided, results)

    def rescued(self, retries: int) -> None:
        """Pass on that leases were taken over."""
        for each in self._observers:
            each.rescued(retries)

    def expired(self, buried: Buried) -> None:
        """Pass on a retry that died of its age."""
        for each in self._observers:
            each.expired(buried)

    def measured(self, depths: Depths | None) -> None:
        """Pass on how much there is in PostgreSQL."""
        for each in self._observers:
            each.measured(depths)
