"""Renews the leases of what this worker holds, long before they run out."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from typing_extensions import override

from retryd.domain.decision import Decided, Release
from retryd.domain.errors import DatabaseUnavailable
from retryd.service import Service

if TYPE_CHECKING:
    from retryd.domain.retry import Retry
    from retryd.store.queue import Queue
    from retryd.worker.leases import Leases
    from retryd.worker.settler import Settler

RENEWALS_PER_LEASE = 3
LOOKS_PER_LEASE = 20
LONGEST_BLINK_SECONDS = 1.0

logger = logging.getLogger("retryd.worker")


class LeaseWatch(Service):
    """Gives up leases that were not renewed, before they run out; asks PostgreSQL nothing.

    What has not started then, and what has waited to start for a whole lease, is given back. It
    runs on the loop of the attempts: `seen_at` tells when that loop had a turn the last time.
    """

    def __init__(self, leases: Leases, settler: Settler) -> None:
        super().__init__()
        self._leases = leases
        self._settler = settler
        self.seen_at = time.monotonic()

    @override
    async def step(self) -> float:
        """Look at everything that is held once."""
        now = self.seen_at = time.monotonic()
        unstarted = self._leases.take_back(now)
        if expired := self._leases.expire(now):
            logger.warning("leases_not_renewed", extra={"retries": len(expired)})
            unstarted += [held.retry for held in expired if held.started_at is None]
        for retry in unstarted:
            self._settler.put(Decided(retry, None, Release()))
        return min(LONGEST_BLINK_SECONDS, self._leases.seconds / LOOKS_PER_LEASE)


class LeaseKeeper(Service):
    """Renews every third of a lease, and waits no longer than that for the answer.

    It has a thread of its own, and tells `loop`, where the attempts run, what was lost. When that
    loop has been blocked for a whole lease, it gives back what waits behind it.
    """

    def __init__(
        self, queue: Queue, leases: Leases, watch: LeaseWatch, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__()
        self._queue = queue
        self._leases = leases
        self._watch = watch
        self._loop = loop
        self.longest_pause_seconds = self._period = leases.seconds / RENEWALS_PER_LEASE

    @override
    async def step(self) -> float:
        """Renew all leases once."""
        asked_at = time.monotonic()
        try:
            async with asyncio.timeout(self._period):
                if asked_at - self._watch.seen_at > self._leases.seconds:
                    await self._give_back(asked_at)
                await self._renew(asked_at)
        except TimeoutError as error:
            message = f"leases could not be renewed within {self._period:.1f} s"
            raise DatabaseUnavailable(message) from error
        return self._period

    async def _renew(self, asked_at: float) -> None:
        retries = self._leases.worth_renewing(asked_at)
        if not retries:
            return
        held = await self._queue.renew_leases(
            [retry.id for retry in retries],
            [retry.claim_token for retry in retries],
            self._leases.seconds,
        )
        self._leases.renewed((retry for retry in retries if held.get(retry.id)), asked_at)
        if lost := [retry for retry in retries if retry.id not in held]:
            with suppress(RuntimeError):  # the loop is closed: the worker has ended
                self._loop.call_soon_threadsafe(self._lose, lost)

    def _lose(self, retries: list[Retry]) -> None:
        """Stop what is not ours any more; on the loop of the attempts."""
        if lost := self._leases.lose(retries):
            logger.warning("leases_lost", extra={"retries": len(lost)})

    async def _give_back(self, now: float) -> None:
        if waiting := self._leases.take_back(now):
            logger.error("loop_blocked", extra={"given_back": len(waiting)})
            await self._queue.settle_retries([Decided(retry, None, Release()) for retry in waiting])
