"""What this worker holds: every claimed retry until it is settled, with its local deadline."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from retryd.domain.retry import Retry

# A lease is trusted for this part of it, on this worker's own monotonic clock.
TRUSTED = 0.8


@dataclass(slots=True)
class Held:
    """A retry in our hands: `stop` ends its running attempt, `reported` once that ended.

    From `keep_until` on the lease of a running attempt is renewed no more.
    """

    retry: Retry
    deadline: float
    stop: Callable[[], object] | None = None
    keep_until: float = math.inf
    reported: bool = False
    timed_out: bool = False

    def time_out(self) -> None:
        """Stop the attempt that runs: its time is over."""
        self.timed_out = True
        if self.stop is not None:
            self.stop()


class Leases:
    """The retries held by this worker, by claim token. Times are seconds of `time.monotonic`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._held: dict[int, Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def add(self, retries: Iterable[Retry], asked_at: float) -> None:
        """Hold newly claimed retries; `asked_at` is the time *before* the claim was sent."""
        deadline = asked_at + self.seconds * TRUSTED
        for retry in retries:
            self._held[retry.claim_token] = Held(retry, deadline)

    def get(self, retry: Retry) -> Held | None:
        """Return the lease of this claim, None if it was lost or given back."""
        return self._held.get(retry.claim_token)

    def drop(self, retry: Retry) -> None:
        """Forget a claim that was settled."""
        self._held.pop(retry.claim_token, None)

    def worth_renewing(self, now: float) -> list[Retry]:
        """Return what is held, but for attempts that have overrun their time and grace."""
        return [
            held.retry for held in self._held.values() if held.reported or now < held.keep_until
        ]

    def renewed(self, asked: Iterable[Retry], still_held: set[int], asked_at: float) -> int:
        """Take in the answer to a renewal: extend what is held, give up what is lost.

        Returns how many were lost; their running attempts are told.
        """
        lost = 0
        deadline = asked_at + self.seconds * TRUSTED
        for retry in asked:
            held = self._held.get(retry.claim_token)
            if held is None:
                continue
            if retry.id in still_held:
                held.deadline = deadline
            elif not held.reported:  # else the settlement finds out by itself
                lost += 1
                self._lose(held)
        return lost

    def expire(self, now: float) -> int:
        """Give up what could not be renewed in time; returns how many."""
        late = [held for held in self._held.values() if held.deadline <= now and not held.reported]
        for held in late:
            self._lose(held)
        return len(late)

    def _lose(self, held: Held) -> None:
        del self._held[held.retry.claim_token]
        if held.stop is not None:
            held.stop()
