"""Takes over retries whose worker was lost, and decides about them as about any outcome."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING

from typing_extensions import override

from retryd.domain.decide import decide
from retryd.domain.decision import Decided
from retryd.domain.outcome import Lost
from retryd.domain.policy import choose
from retryd.service import Service
from retryd.worker.batch import Batch
from retryd.worker.share import Share

if TYPE_CHECKING:
    from collections.abc import Iterable

    from retryd.domain.policy import Policy
    from retryd.domain.retry import Retry
    from retryd.ports import Observer
    from retryd.store.queue import Queue
    from retryd.worker.settler import Settler

BATCH = 200
# However seldom a worker looks for work, what another one lost is noticed soon.
LONGEST_WAIT_SECONDS = 2.0
# To look through all leases costs nothing to speak of, but while a snapshot is held each that ever
# ended counts: then what ran out since is taken in between. What somebody had locked, and a step of
# PostgreSQL's clock, wait for the next look at all.
LOOK_TIMES, LOOK_SECONDS, LOOK_FREE_SECONDS = 20.0, 30.0, 0.05
OVERLAP_SECONDS = 5.0

logger = logging.getLogger("retryd.worker")


class Rescuer(Service):
    """Any worker rescues for all: whatever handler a lapsed lease belongs to."""

    def __init__(
        self,
        queue: Queue,
        settler: Settler,
        observer: Observer,
        policies: Iterable[Policy],
        *,
        lease_seconds: float,
        every_seconds: float,
    ) -> None:
        super().__init__()
        self._queue = queue
        self._settler = settler
        self._observer = observer
        self._policies = tuple(policies)
        self._lease_seconds = lease_seconds
        self._every_seconds = min(every_seconds, LONGEST_WAIT_SECONDS)
        self._batch = Batch(BATCH)
        self._looks = Share(LOOK_TIMES, LOOK_SECONDS, LOOK_FREE_SECONDS)
        self._seen_at = 0.0

    @override
    async def step(self) -> float:
        """Rescue one batch."""
        if clamped := await self._queue.clamp_leases(BATCH):
            logger.warning("leases_clamped", extra={"retries": clamped})
        size = self._batch.size
        with self._batch.trying(size):
            retries = await self._rescue(size)
        for retry in retries:
            policy = choose(self._policies, retry.operation, retry.policy)
            decision = decide(retry, Lost(), policy, random.random())
            self._settler.put(Decided(retry, Lost(), decision))
        if retries:
            self._observer.rescued(len(retries))
        return 0 if len(retries) == size else self._every_seconds

    async def _rescue(self, size: int) -> list[Retry]:
        """Take over what ran out since the last look at all of it, or look at all of it again."""
        began = time.monotonic()
        if self._looks.pause:
            within = began - self._seen_at + OVERLAP_SECONDS
            retries = await self._queue.rescue_retries(size, self._lease_seconds, within)
        else:
            with self._looks.looking():
                retries = await self._queue.rescue_retries(size, self._lease_seconds, None)
        if len(retries) < size:
            self._seen_at = began
        return retries
