"""Settlements that were sent and never answered: each may have been written, or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retryd.domain.outcome import Lost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retryd.domain.decision import Decided
    from retryd.store.queue import Queue


class Doubt:
    """Tells a stale settlement from one that was ours: written when the connection broke."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._tokens: set[int] = set()

    def add(self, batch: Sequence[Decided]) -> None:
        """Note that this batch was sent, and no answer came."""
        self._tokens.update(decided.retry.claim_token for decided in batch)

    async def cleared(self, batch: Sequence[Decided], results: Sequence[str]) -> Sequence[str]:
        """Return the results of a batch that was sent again, `settled` for what had been before.

        What was given back and what a rescue decided leave no record; they are taken for ours.
        """
        doubtful = [
            decided
            for decided, result in zip(batch, results, strict=True)
            if result == "stale" and decided.retry.claim_token in self._tokens
        ]
        if doubtful:
            ours = await self._queue.settled_under(
                [decided.retry.id for decided in doubtful],
                [decided.retry.claim_token for decided in doubtful],
            )
            ours |= {
                decided.retry.claim_token
                for decided in doubtful
                if decided.outcome is None or isinstance(decided.outcome, Lost)
            }
            results = [
                "settled" if result == "stale" and decided.retry.claim_token in ours else result
                for decided, result in zip(batch, results, strict=True)
            ]
        if self._tokens:
            self._tokens.difference_update(
                decided.retry.claim_token
                for decided, result in zip(batch, results, strict=True)
                if result != "busy"
            )
        return results
