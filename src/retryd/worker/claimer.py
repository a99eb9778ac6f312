"""Claims due retries as slots get free, and sleeps until the next one is due."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from typing_extensions import override

from retryd.domain.decision import Decided, Release
from retryd.domain.errors import StatementAborted
from retryd.worker.batch import Batch
from retryd.worker.doubt import ClaimDoubt
from retryd.worker.leases import TRUSTED
from retryd.worker.service import Service

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retryd.domain.retry import Retry
    from retryd.ports import Observer
    from retryd.store.queue import Queue
    from retryd.worker.leases import Leases
    from retryd.worker.runner import Runner
    from retryd.worker.settler import Settler


# A due retry that no claim can have, since somebody else has locked it, must not make us spin.
BLOCKED_SECONDS = 0.05
# How late a claim is still looked for: twice as long as any statement is waited for.
LATE_SECONDS = 20.0

logger = logging.getLogger("retryd.worker")


class Claimer(Service):
    """Walks the lanes of its handlers. Polling is the truth; being woken only makes it prompt."""

    def __init__(
        self,
        queue: Queue,
        runner: Runner,
        leases: Leases,
        observer: Observer,
        handlers: Sequence[str],
        *,
        batch_size: int,
        poll_seconds: float,
    ) -> None:
        super().__init__()
        self._queue = queue
        self._runner = runner
        self._leases = leases
        self._observer = observer
        self._handlers = handlers
        self._batch = Batch(batch_size)
        self._poll_seconds = poll_seconds
        self._short_of_room = False
        # A look renews what was claimed since as well: it is over before any of that is given up.
        self._doubt = ClaimDoubt(min(LATE_SECONDS, leases.seconds * TRUSTED))
        self._marked_asleep = False
        self._next_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def room_made(self) -> None:
        """Claim again, if it was for want of room that we did not."""
        if self._short_of_room:
            self.wake()

    def due_in(self, seconds: float) -> None:
        """Claim no later than in so many seconds: something was put back."""
        at = time.monotonic() + seconds
        if at >= self._next_at:
            return
        self._next_at = at
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.wake)

    @override
    async def step(self) -> float:
        """Claim one batch; return how long nothing more is expected."""
        if self._doubt.look_in(time.monotonic()) == 0:
            self._runner.put(await self._adopt())
        pause = await self._claim_due()
        return min(pause, self._doubt.look_in(time.monotonic()))

    async def give_back(self, settler: Settler) -> None:
        """Give back what a claim brought whose answer never came."""
        if self._doubt:
            for retry in await self._adopt():
                settler.put(Decided(retry, None, Release()))

    async def _claim_due(self) -> float:
        asked = min(self._batch.size, self._runner.room)
        self._short_of_room = asked == 0
        if self._short_of_room:
            return self._poll_seconds
        retries = await self._claim(asked)
        self._runner.put(retries)
        if len(retries) == asked:
            if self._marked_asleep:
                self._marked_asleep = False
                await self._queue.mark_awake()
            return 0
        self._next_at = time.monotonic() + self._poll_seconds
        self._marked_asleep = True
        due_in = await self._queue.mark_asleep(self._poll_seconds, self._handlers)
        if not retries:
            due_in = max(due_in, BLOCKED_SECONDS)
        self._next_at = min(self._next_at, time.monotonic() + due_in)
        return due_in

    async def _claim(self, asked: int) -> list[Retry]:
        asked_at = time.monotonic()
        try:
            with self._batch.trying(asked):
                retries = await self._queue.acquire_retry_batch(
                    asked, self._leases.seconds, self._handlers
                )
        except StatementAborted:  # it answered, and took nothing
            raise
        except BaseException:
            self._doubt.add(self._leases.last_token, time.monotonic())
            raise
        self._doubt.told(retries)
        self._observer.claimed(len(retries), time.monotonic() - asked_at)
        self._leases.add(retries, asked_at)
        return retries

    async def _adopt(self) -> list[Retry]:
        """Take in what a claim without an answer brought: it may have been made all the same."""
        asked_at = time.monotonic()
        found = await self._queue.adopt_claims(self._doubt.after, self._leases.seconds)
        retries = self._doubt.looked(found, asked_at)
        self._leases.add(retries, asked_at)
        if retries:
            logger.warning("claims_adopted", extra={"retries": len(retries)})
        return retries
