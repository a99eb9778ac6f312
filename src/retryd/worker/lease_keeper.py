"""Renews the leases of what this worker holds, long before they run out."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from typing_extensions import override

from retryd.worker.service import Service

if TYPE_CHECKING:
    from retryd.store.queue import Queue
    from retryd.worker.leases import Leases

RENEWALS_PER_LEASE = 3

logger = logging.getLogger("retryd.worker")


class LeaseKeeper(Service):
    """Renews every third of a lease; a lease that cannot be kept is given up before it runs out."""

    def __init__(self, queue: Queue, leases: Leases) -> None:
        super().__init__()
        self._queue = queue
        self._leases = leases

    @override
    async def step(self) -> float:
        """Renew all leases once."""
        retries = self._leases.retries()
        if retries:
            asked_at = time.monotonic()
            try:
                still_held = await self._queue.extend_retry_leases(
                    [retry.id for retry in retries],
                    [retry.claim_token for retry in retries],
                    self._leases.seconds,
                )
                lost = self._leases.renewed(retries, still_held, asked_at)
            finally:
                expired = self._leases.expire(time.monotonic())
            if lost + expired:
                logger.warning("leases_lost", extra={"retries": lost + expired})
        return self._leases.seconds / RENEWALS_PER_LEASE
