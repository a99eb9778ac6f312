"""What was sent and never answered: each claim, each settlement may have been written, or not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from retryd.domain.outcome import Lost

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from retryd.domain.decision import Decided
    from retryd.domain.retry import Retry
    from retryd.store.queue import Queue

LOOK_SECONDS = 1.0


class ClaimDoubt:
    """Claims without an answer: each is looked for at once, and again and again for `seconds`.

    PostgreSQL may not have noticed that nobody listens, and commit one late, when a lock, a standby
    or a process that was stopped lets it. Times are seconds of `time.monotonic`.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._open: list[tuple[int, float]] = []  # above which token it is, until when to look
        self._told: set[int] = set()
        self._look_at = math.inf

    def __bool__(self) -> bool:
        return bool(self._open)

    @property
    def after(self) -> int:
        """The token above which to look, while there is a doubt."""
        return self._open[0][0]

    def look_in(self, now: float) -> float:
        """Return the seconds until it is worth looking, 0 at once; endless without a doubt."""
        return max(0.0, self._look_at - now)

    def add(self, after: int, now: float) -> None:
        """Note that a claim got no answer; its tokens are above `after`, which never shrinks."""
        self._open.append((after, math.inf))
        self._look_at = now

    def told(self, retries: Iterable[Retry]) -> None:
        """Note what a claim brought meanwhile."""
        if self._open:
            self._told.update(retry.claim_token for retry in retries)

    def looked(self, found: Iterable[Retry], now: float) -> list[Retry]:
        """Return what is new of all that was found above `after` at `now`."""
        new = [retry for retry in found if retry.claim_token not in self._told]
        self.told(new)
        next_look = now + LOOK_SECONDS
        lasting = [(after, min(until, now + self._seconds)) for after, until in self._open]
        self._open = [(after, until) for after, until in lasting if until >= next_look]
        self._look_at = next_look if self._open else math.inf
        self._told = {token for token in self._told if self._open and token > self.after}
        return new


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
