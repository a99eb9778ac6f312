"""Writes decisions, many in one round trip; what comes in meanwhile makes the next batch."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from typing import TYPE_CHECKING

from typing_extensions import override

from retryd.domain.decision import Bury, Decided, Release, Reschedule
from retryd.domain.errors import DatabaseUnavailable, Refused, StatementAborted
from retryd.domain.outcome import Success
from retryd.service import Service
from retryd.worker.batch import Batch
from retryd.worker.doubt import Doubt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from retryd.ports import Observer
    from retryd.store.queue import Queue
    from retryd.worker.leases import Leases

LARGEST_BATCH = 1_000
IDLE_SECONDS = 60.0
BUSY_SECONDS = 0.1
GIVEN_BACK = (Reschedule, Release)

logger = logging.getLogger("retryd.worker")


class Settler(Service):
    """Takes decisions without waiting, and sends each until PostgreSQL has answered.

    `on_due` hears in how many seconds the first of the retries that were put back is due.
    """

    def __init__(
        self, queue: Queue, leases: Leases, observer: Observer, on_due: Callable[[float], None]
    ) -> None:
        super().__init__()
        self._queue = queue
        self._leases = leases
        self._observer = observer
        self._on_due = on_due
        self._waiting: deque[Decided] = deque()
        self._batch = Batch(LARGEST_BATCH)
        self._doubt = Doubt(queue)
        self._all_busy = False
        self._planned = False
        self._empty = asyncio.Event()
        self._empty.set()

    def put(self, decided: Decided) -> None:
        """Have a decision written, unless it was with its effect; its lease is kept until then."""
        outcome = decided.outcome
        if isinstance(outcome, Success) and outcome.settled:
            self._leases.drop(decided.retry)
            self._observer.settled((decided,), ("settled",))
            return
        if held := self._leases.get(decided.retry):
            held.reported = True
            held.stop = None
        self._waiting.append(decided)
        self._empty.clear()
        self.wake()

    async def emptied(self) -> None:
        """Wait until nothing is left to write."""
        await self._empty.wait()

    @override
    async def step(self) -> float:
        """Settle one batch."""
        if not self._planned:  # what PostgreSQL does with the first settlement: before there is one
            await self._queue.settle_retries(())
            self._planned = True
        size = min(self._batch.size, len(self._waiting))
        if batch := [self._waiting.popleft() for _ in range(size)]:
            await self._settle(batch)
        if self._waiting:
            return BUSY_SECONDS if self._all_busy else 0
        self._empty.set()
        return IDLE_SECONDS

    async def _settle(self, batch: Sequence[Decided]) -> None:
        """Write a batch; one that fails comes back in smaller ones."""
        try:
            with self._batch.trying(len(batch)):
                answers = await self._queue.settle_retries(batch)
                results = await self._doubt.cleared(batch, answers)
        except Refused:  # one decision that cannot be written must not hold up the others
            if len(batch) > 1:
                self._waiting.extendleft(reversed(batch))
                return
            logger.exception("settlement_refused", extra={"retry": batch[0].retry.id})
            results = ["refused"]  # its lease runs out, and the loss is counted
        except Exception as error:
            if isinstance(error, DatabaseUnavailable) and not isinstance(error, StatementAborted):
                self._doubt.add(batch)
            if len(batch) > 1:
                self._waiting.extendleft(reversed(batch))
            else:  # it may be the one that somebody's lock holds up: the others first
                self._waiting.extend(batch)
            raise
        self._take_in(batch, results)

    def _take_in(self, batch: Sequence[Decided], results: Sequence[str]) -> None:
        soonest = math.inf
        self._all_busy = True
        for decided, result in zip(batch, results, strict=True):
            if result == "busy":  # somebody keeps its row locked: the others first
                self._waiting.append(decided)
                continue
            self._all_busy = False
            self._leases.drop(decided.retry)
            if result == "spent":
                self._waiting.append(decided._replace(decision=Bury("exhausted")))
            elif isinstance(decided.decision, GIVEN_BACK):
                soonest = min(soonest, decided.decision.delay)
        self._observer.settled(batch, results)
        if soonest < math.inf:
            self._on_due(soonest)
