"""Takes over retries whose worker was lost, and decides about them as about any outcome."""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING

from typing_extensions import override

from retryd.domain.decide import decide
from retryd.domain.decision import Decided
from retryd.domain.outcome import Lost
from retryd.domain.policy import choose
from retryd.worker.batch import Batch
from retryd.worker.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterable

    from retryd.domain.policy import Policy
    from retryd.ports import Observer
    from retryd.store.queue import Queue
    from retryd.worker.settler import Settler

BATCH = 200
# However seldom a worker looks for work, what another one lost is noticed soon.
LONGEST_WAIT_SECONDS = 2.0

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

    @override
    async def step(self) -> float:
        """Rescue one batch."""
        if clamped := await self._queue.clamp_leases(BATCH):
            logger.warning("leases_clamped", extra={"retries": clamped})
        size = self._batch.size
        with self._batch.trying(size):
            retries = await self._queue.take_expired_leases(size, self._lease_seconds)
        for retry in retries:
            policy = choose(self._policies, retry.operation, retry.policy)
            decision = decide(retry, Lost(), policy, random.random())
            self._settler.put(Decided(retry, Lost(), decision))
        if retries:
            self._observer.rescued(len(retries))
        return 0 if len(retries) == size else self._every_seconds
