"""What this worker holds: every claimed retry until it is settled, with its local deadline.

The worker's loop and the lease keeper's thread both use it. Each change is one assignment or one
operation of a dictionary, which no other thread can see half done; taking back what waits excludes
by a lock what may not happen meanwhile: that it starts, or comes in again.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from retryd.domain.retry import Retry

# A lease is trusted for this part of it, on this worker's own monotonic clock.
TRUSTED = 0.8


@dataclass(slots=True)
class Held:
    """A retry in our hands: `stop` ends its running attempt, `reported` once that ended.

    From `keep_until` on the lease of a running attempt is renewed no more. `due_at` is None if the
    claim did not tell since when it was due.
    """

    retry: Retry
    claimed_at: float
    deadline: float
    due_at: float | None = None
    started_at: float | None = None
    keep_until: float = math.inf
    stop: Callable[[], object] | None = None
    reported: bool = False
    timed_out: bool = False

    def time_out(self) -> None:
        """Stop the attempt that runs: its time is over."""
        self.timed_out = True
        if self.stop is not None:
            self.stop()


@dataclass(slots=True)
class Leases:
    """The retries held by this worker, by id. Times are seconds of `time.monotonic`.

    `last_token` is the highest that a claim brought: tokens only grow.
    """

    seconds: float
    last_token: int = 0
    _held: dict[int, Held] = field(default_factory=dict)
    _starting: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        return len(self._held)

    def all(self) -> list[Held]:
        """Return everything that is held."""
        return list(self._held.values())

    def add(
        self, retries: Collection[Retry], asked_at: float, late: Sequence[float] = ()
    ) -> list[Held]:
        """Hold newly claimed retries; `asked_at` is the time *before* the claim was sent.

        `late`: for how many seconds each of them was due when the claim was made.
        What is held of them under another token is lost: it would run beside the new claim.
        """
        deadline = asked_at + self.seconds * TRUSTED
        self.lose([held.retry for retry in retries if (held := self._held.get(retry.id))])
        now = time.monotonic()
        new = [
            Held(retry, asked_at, deadline, None if seconds is None else now - seconds)
            for retry, seconds in zip_longest(retries, late)
        ]
        with self._starting:
            self._held.update((held.retry.id, held) for held in new)
        self.last_token = max((self.last_token, *(retry.claim_token for retry in retries)))
        return new

    def get(self, retry: Retry) -> Held | None:
        """Return the lease of this claim, None if it was lost or given back."""
        held = self._held.get(retry.id)
        return held if held is not None and held.retry.claim_token == retry.claim_token else None

    def holds(self, held: Held) -> bool:
        """Tell whether this is still in our hands."""
        return self._held.get(held.retry.id) is held

    def drop(self, retry: Retry) -> None:
        """Forget a claim that was settled."""
        if self.get(retry) is not None:
            self._held.pop(retry.id, None)

    def start(
        self, held: Held, now: float, keep_seconds: float, stop: Callable[[], object] | None
    ) -> bool:
        """Let an attempt begin; False if its lease is not ours any more.

        Its lease is renewed for `keep_seconds`; `stop`, if it can be stopped, is called when it
        is lost.
        """
        with self._starting:
            if not self.holds(held):
                return False
            held.started_at, held.keep_until, held.stop = now, now + keep_seconds, stop
            return True

    def take_back(self, now: float) -> list[Retry]:
        """Take out of our hands what has waited to start for a whole lease, and return it."""
        with self._starting:
            waiting = [
                held.retry
                for held in self.all()
                if held.started_at is None
                and not held.reported
                and now - held.claimed_at >= self.seconds
            ]
            for retry in waiting:
                self.drop(retry)
        return waiting

    def worth_renewing(self, now: float) -> list[Retry]:
        """Return what is held, but for attempts that have overrun their time and grace."""
        return [held.retry for held in self.all() if held.reported or now < held.keep_until]

    def renewed(self, retries: Iterable[Retry], asked_at: float) -> None:
        """Extend what PostgreSQL has extended; `asked_at` is the time before it was asked."""
        for retry in retries:
            if held := self.get(retry):
                held.deadline = asked_at + self.seconds * TRUSTED

    def lose(self, retries: Collection[Retry]) -> list[Held]:
        """Give up what is not ours any more, and stop what runs of it; returns that.

        What has reported is kept: its settlement finds out by itself.
        """
        found = [held for retry in retries if (held := self.get(retry))]
        lost = [held for held in found if not held.reported]
        for held in lost:
            self.drop(held.retry)
            if held.stop is not None:
                held.stop()
        return lost

    def expire(self, now: float) -> list[Held]:
        """Give up what could not be renewed in time, and return it."""
        return self.lose([held.retry for held in self.all() if held.deadline <= now])
