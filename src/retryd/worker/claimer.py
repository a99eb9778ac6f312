"""Claims due retries as slots get free, and sleeps until the next one is due."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from typing_extensions import override

from retryd.domain.decision import Decided, Release
from retryd.domain.errors import StatementAborted
from retryd.service import Service
from retryd.worker.alarms import Alarms
from retryd.worker.batch import Batch
from retryd.worker.doubt import ClaimDoubt
from retryd.worker.lanes import Lanes
from retryd.worker.leases import TRUSTED
from retryd.worker.share import Share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retryd.ports import Observer
    from retryd.store.queue import Queue
    from retryd.worker.leases import Held, Leases
    from retryd.worker.runner import Runner
    from retryd.worker.settler import Settler


# A due retry that no claim can have, since somebody else has locked it, must not make us spin; nor
# must what comes in while nobody rings.
BLOCKED_SECONDS = 0.05
# A look is made again after a hundred times as long as it took: nothing waits longer than this for
# it, and not one claim in a hundred has to wait for a look. While claims bring nothing, none has to
# wait: then after ten times as long.
LOOK_TIMES, LOOK_SECONDS = 100.0, 5.0
IDLE_LOOK_TIMES = 10.0
# How late a claim is still looked for: twice as long as any statement is waited for.
LATE_SECONDS = 20.0

logger = logging.getLogger("retryd.worker")


class Claimer(Service):
    """Walks the lanes of its handlers. Polling is the truth; being woken only makes it prompt.

    A claim begins where the last one in its lane ended. What comes in behind it, in a lane that was
    empty or where the last claims have been, is found by a look, which takes a hundredth
    of the time, a tenth while claims bring nothing.
    """

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
        self._lanes = Lanes()
        self._planned = False  # PostgreSQL plans with the first claim: not while somebody waits
        self._looks = Share(LOOK_TIMES, LOOK_SECONDS)
        self._found_at = 0.0
        self._marked_asleep = False
        self._alarms = Alarms(self.wake)

    def room_made(self) -> None:
        """Claim again, if it was for want of room that we did not."""
        if self._short_of_room:
            self.wake()

    def due_in(self, seconds: float) -> None:
        """Claim no later than in so many seconds: something was put back."""
        if seconds < self._poll_seconds:  # what is due later is found by a look
            self._alarms.set(seconds)

    @override
    async def step(self) -> float:
        """Claim one batch; return how long nothing more is expected."""
        with self._runner.receiving():
            if self._doubt.look_in(time.monotonic()) == 0:
                self._runner.put(await self._adopt())
            pause = await self._claim_due()
        return min(pause, self._doubt.look_in(time.monotonic()))

    async def give_back(self, settler: Settler) -> None:
        """Give back what a claim brought whose answer never came."""
        if self._doubt:
            for held in await self._adopt():
                settler.put(Decided(held.retry, None, Release()))

    async def _claim_due(self) -> float:
        asked = min(self._batch.size, self._runner.room)
        self._short_of_room = asked == 0
        if self._short_of_room:
            return self._poll_seconds
        missing = asked - await self._claim(asked)
        pause = self._look_in()
        if not pause:
            await asyncio.sleep(0)  # what was claimed begins before this
            pause = await self._look(idle=missing > 0)
            if missing and not pause:
                more = min(missing, self._runner.room)
                self._short_of_room = not more
                found = await self._claim(more)
                missing -= found
                pause = self._look_in() if found else BLOCKED_SECONDS
        if missing:
            longest = self._poll_seconds if self._marked_asleep else BLOCKED_SECONDS  # nobody rings
            return min(pause, longest, self._lanes.next_in(time.monotonic()))
        if self._marked_asleep:
            self._marked_asleep = False
            await self._queue.mark_awake()
        return 0

    async def _claim(self, asked: int) -> int:
        """Claim in the lanes where something may be due; return how many retries that brought."""
        asked_at = time.monotonic()
        lanes = self._lanes.ready(asked_at)
        if not asked or (not lanes and self._planned):
            return 0
        try:
            with self._batch.trying(asked):
                claimed = await self._queue.claim_retries(asked, self._leases.seconds, lanes)
        except StatementAborted:  # it answered, and took nothing
            raise
        except BaseException:
            self._doubt.add(self._leases.last_token, time.monotonic())
            raise
        self._planned = True
        now = time.monotonic()
        if claimed.retries:
            self._found_at = now
        self._observer.claimed(len(claimed.retries), now - asked_at)
        self._lanes.claimed(claimed.lanes, now)
        self._doubt.told(claimed.retries)
        self._runner.put(self._leases.add(claimed.retries, asked_at, claimed.late))
        return len(claimed.retries)

    def _look_in(self) -> float:
        """Return how many seconds to wait with the next look."""
        idle = self._looks.pause_of(IDLE_LOOK_TIMES, self._found_at)
        return min(idle, self._looks.pause)

    async def _look(self, *, idle: bool) -> float:
        """Find out in which lanes something waits; return the seconds until the first is due."""
        self._marked_asleep = self._marked_asleep or idle
        with self._looks.looking():
            found, empty = await self._queue.look_ahead(
                self._handlers, self._poll_seconds if idle else None
            )
        now = time.monotonic()
        self._lanes.looked(found, empty, now)
        return min(self._poll_seconds, self._lanes.due_in(now))

    async def _adopt(self) -> list[Held]:
        """Take in what a claim without an answer brought: it may have been made all the same."""
        asked_at = time.monotonic()
        found = await self._queue.adopt_claims(self._doubt.after, self._leases.seconds)
        retries = self._doubt.looked(found, asked_at)
        if retries:
            logger.warning("claims_adopted", extra={"retries": len(retries)})
        return self._leases.add(retries, asked_at)
