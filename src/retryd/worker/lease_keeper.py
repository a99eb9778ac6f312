"""Renews the leases of what this worker holds, long before they run out."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from typing_extensions import override

from retryd.domain.errors import DatabaseUnavailable
from retryd.worker.service import Service

if TYPE_CHECKING:
    from retryd.store.queue import Queue
    from retryd.worker.leases import Leases

RENEWALS_PER_LEASE = 3
LOOKS_PER_LEASE = 20

logger = logging.getLogger("retryd.worker")


class LeaseKeeper(Service):
    """Renews every third of a lease, and waits no longer than that for the answer."""

    def __init__(self, queue: Queue, leases: Leases) -> None:
        super().__init__()
        self._queue = queue
        self._leases = leases

    @override
    async def step(self) -> float:
        """Renew all leases once."""
        period = self._leases.seconds / RENEWALS_PER_LEASE
        asked_at = time.monotonic()
        retries = self._leases.worth_renewing(asked_at)
        if retries:
            try:
                async with asyncio.timeout(period):
                    still_held = await self._queue.extend_retry_leases(
                        [retry.id for retry in retries],
                        [retry.claim_token for retry in retries],
                        self._leases.seconds,
                    )
            except TimeoutError as error:
                message = f"leases could not be renewed within {period:.1f} s"
                raise DatabaseUnavailable(message) from error
            if lost := self._leases.renewed(retries, still_held, asked_at):
                logger.warning("leases_lost", extra={"retries": lost})
        return period


class LeaseWatch(Service):
    """Gives up leases that were not renewed, before they run out; asks PostgreSQL nothing."""

    def __init__(self, leases: Leases) -> None:
        super().__init__()
        self._leases = leases

    @override
    async def step(self) -> float:
        """Look at all deadlines once."""
        if expired := self._leases.expire(time.monotonic()):
            logger.warning("leases_not_renewed", extra={"retries": expired})
        return self._leases.seconds / LOOKS_PER_LEASE
