"""Starts the services, waits for the end, drains: nothing that was claimed is left behind."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retryd.domain.errors import DatabaseUnavailable
from retryd.worker.claimer import Claimer
from retryd.worker.doorbell import Doorbell
from retryd.worker.expirer import Expirer
from retryd.worker.lease_keeper import LeaseKeeper, LeaseWatch
from retryd.worker.leases import Leases
from retryd.worker.presence import Presence
from retryd.worker.pruner import Pruner, Retention
from retryd.worker.rescuer import Rescuer
from retryd.worker.runner import Runner
from retryd.worker.settler import Settler
from retryd.worker.sweeper import Sweeper

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from retryd.domain.policy import Policy
    from retryd.ports import Handler, Observer
    from retryd.store.queue import Queue
    from retryd.worker.service import Service

FLUSH_SECONDS = 5.0

logger = logging.getLogger("retryd.worker")


@dataclass(frozen=True, slots=True)
class Plan:
    """How one worker works; durations in seconds. `listen_dsn` None: poll only.

    `grace_seconds` after its timeout an attempt that cannot be stopped loses its lease.
    """

    claims: bool
    batch_size: int
    worker_count: int
    poll_seconds: float
    lease_seconds: float
    shutdown_seconds: float
    retention: Retention
    listen_dsn: str | None
    version: str
    grace_seconds: float = 30.0


class Worker:
    """One worker: its handlers, its services, its retries in hand."""

    def __init__(
        self,
        queue: Queue,
        handlers: Sequence[Handler],
        policies: Iterable[Policy],
        observer: Observer,
        plan: Plan,
    ) -> None:
        self._plan = plan
        self._queue = queue
        by_name: Mapping[str, Handler] = {handler.name: handler for handler in handlers}
        policies = tuple(policies)
        leases = Leases(plan.lease_seconds)
        self._settler = Settler(queue, leases, observer, self._put_back)
        self._runner = Runner(
            by_name,
            policies,
            leases,
            self._settler,
            slots=plan.worker_count,
            grace_seconds=plan.grace_seconds,
            on_room=self._room_made,
        )
        self._claimer = Claimer(
            queue,
            self._runner,
            leases,
            observer,
            sorted(by_name),
            batch_size=plan.batch_size,
            poll_seconds=plan.poll_seconds,
        )
        self._keepers: list[Service] = [
            self._settler,
            LeaseKeeper(queue, leases),
            LeaseWatch(leases),
            Rescuer(
                queue,
                self._settler,
                observer,
                policies,
                lease_seconds=plan.lease_seconds,
                every_seconds=plan.poll_seconds,
            ),
            Expirer(queue, plan.poll_seconds),
            Sweeper(queue, plan.poll_seconds),
            Pruner(queue, plan.retention),
            Presence(queue, handlers, plan.version),
        ]
        if plan.listen_dsn is not None:
            application = f"retryd/doorbell/{queue.worker}"[:63]
            self._keepers.append(Doorbell(plan.listen_dsn, application, self._claimer.wake))

    def _put_back(self, seconds: float) -> None:
        """Claim in time what the settler put back."""
        self._claimer.due_in(seconds)

    def _room_made(self) -> None:
        """Claim what the runner has room for."""
        self._claimer.room_made()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then drain within the time that the plan gives."""
        keeping = [
            asyncio.create_task(service.run(), name=service.name) for service in self._keepers
        ]
        claiming = (
            asyncio.create_task(self._claimer.run(), name="claimer") if self._plan.claims else None
        )
        self._runner.start()
        logger.info("worker_started", extra={"worker": self._queue.worker})
        try:
            await stop.wait()
            await self._drain(claiming)
        finally:
            for service in self._keepers:
                service.stop()
            tasks = (*keeping, *([claiming] if claiming else []))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._runner.abort()
        with suppress(DatabaseUnavailable, TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._queue.worker_gone()
        logger.info("worker_stopped", extra={"worker": self._queue.worker})

    async def _drain(self, claiming: asyncio.Task[None] | None) -> None:
        """Claim no more, give back what has not started, let running attempts end, settle all."""
        self._claimer.stop()
        released = self._runner.release_waiting()
        cancelled = 0
        try:
            async with asyncio.timeout(self._plan.shutdown_seconds):
                if claiming is not None:
                    await claiming  # what a claim in flight brings is given back as well
                released += self._runner.release_waiting()
                await self._runner.finished()
        except TimeoutError:
            released += self._runner.release_waiting()
            cancelled = await self._runner.abort()
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._settler.emptied()
        logger.info("worker_drained", extra={"released": released, "cancelled": cancelled})
