"""Starts the services, waits for the end, drains: nothing that was claimed is left behind."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from retryd.domain.errors import DatabaseUnavailable
from retryd.own_thread import OwnThread
from retryd.worker.claimer import Claimer
from retryd.worker.doorbell import Doorbell
from retryd.worker.expirer import Expirer
from retryd.worker.gauge_reader import GaugeReader
from retryd.worker.lease_keeper import LeaseKeeper, LeaseWatch
from retryd.worker.leases import Leases
from retryd.worker.presence import Presence
from retryd.worker.pruner import Pruner
from retryd.worker.rescuer import Rescuer
from retryd.worker.runner import Runner
from retryd.worker.settler import Settler
from retryd.worker.sweeper import Sweeper
from retryd.worker.until_empty import UntilEmpty

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Mapping, Sequence

    from retryd.domain.policy import Policy
    from retryd.ports import Handler, Observer
    from retryd.service import Service
    from retryd.store.lines import Lines
    from retryd.store.pool import Pool
    from retryd.worker.plan import Plan

FLUSH_SECONDS = 5.0
LAST_SECONDS = 1.0
AGAIN_SECONDS = 0.2
BLOCKED_SECONDS = 5.0

logger = logging.getLogger("retryd.worker")


class Worker:
    """One worker: its handlers, its services, its retries in hand.

    `sources` run as long as its own services do.
    """

    def __init__(
        self,
        lines: Lines,
        handlers: Sequence[Handler],
        policies: Iterable[Policy],
        observer: Observer,
        plan: Plan,
        *,
        sources: Iterable[Service] = (),
    ) -> None:
        self._plan = plan
        self._running = False
        self._retiring = asyncio.Event()
        self._stopping = asyncio.Event()
        self._serves = sorted(handler.name for handler in handlers)
        self._lines = lines
        queue = self._queue = lines.shared
        by_name: Mapping[str, Handler] = {handler.name: handler for handler in handlers}
        policies = tuple(policies)
        leases = self._leases = Leases(plan.lease_seconds)
        self._settler = Settler(lines.settling, leases, observer, self._put_back)
        self._watch = LeaseWatch(leases, self._settler)
        self._runner = Runner(
            by_name,
            policies,
            leases,
            self._settler,
            observer,
            slots=plan.worker_count,
            grace_seconds=plan.grace_seconds,
            process_ends=plan.process_ends,
            on_room=self._room_made,
        )
        self._claimer = Claimer(
            lines.claiming,
            self._runner,
            leases,
            observer,
            self._serves,
            batch_size=plan.batch_size,
            poll_seconds=plan.poll_seconds,
        )
        self._presence = Presence(queue, handlers, plan.version)
        self._keepers: list[Service] = [
            self._settler,
            self._watch,
            Rescuer(
                queue,
                self._settler,
                observer,
                policies,
                lease_seconds=plan.lease_seconds,
                every_seconds=plan.poll_seconds,
            ),
            Expirer(queue, observer, plan.poll_seconds),
            Sweeper(queue, plan.poll_seconds),
            Pruner(queue, plan.retention),
            self._presence,
            GaugeReader(lines.reads, observer, self._serves),
            *sources,
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

    @property
    def id(self) -> str:
        """The name under which this worker claims; another one at each start."""
        return self._queue.worker

    @property
    def pools(self) -> tuple[Pool, ...]:
        """The connections that its loop uses."""
        return self._lines.pools

    def alert(self, text: str | None) -> None:
        """Tell people what is wrong with this worker; None: nothing any more."""
        self._presence.alert(text)

    def in_flight(self) -> list[dict[str, object]]:
        """Tell what is held: id, handler, operation, attempt, state, seconds it has run."""
        now = time.monotonic()
        return [
            {
                "retry": held.retry.id,
                "handler": held.retry.handler,
                "operation": held.retry.operation,
                "attempt": held.retry.attempt,
                "state": (
                    "settling"
                    if held.reported
                    else "waiting"
                    if held.started_at is None
                    else "running"
                ),
                "seconds": None if held.started_at is None else round(now - held.started_at, 1),
            }
            for held in self._leases.all()
        ]

    @property
    def retiring(self) -> bool:
        """Whether it claims no more, since it was told to retire or to stop."""
        return self._retiring.is_set()

    def retire(self) -> None:
        """Claim no more, and end when the attempts that run have ended, however long they take."""
        self._retiring.set()

    def stop(self) -> None:
        """Claim no more, and end within the time that the plan gives to running attempts."""
        self._retiring.set()
        self._stopping.set()

    def problems(self) -> list[str]:
        """Tell what keeps it from its work; may be asked from any thread."""
        found = [service.trouble for service in (self._claimer, self._settler) if service.trouble]
        blocked = time.monotonic() - self._watch.seen_at
        if self._running and blocked > BLOCKED_SECONDS:
            found.append(f"a handler has blocked the event loop for {blocked:.0f} s")
        return found

    async def run(self) -> None:
        """Work until told to retire or to stop, and leave nothing behind."""
        loop = asyncio.get_running_loop()
        keeper = OwnThread("lease-keeper", partial(self._keep_leases, loop))
        if self._plan.until_empty:
            self._keepers.append(UntilEmpty(self._lines.reads, self._serves, self.stop))
        keeping = [
            asyncio.create_task(service.run(), name=service.name) for service in self._keepers
        ]
        claiming = (
            asyncio.create_task(self._claimer.run(), name="claimer")
            if self._plan.claims and self._serves
            else None
        )
        keeper.start()
        self._runner.start()
        self._running = True
        logger.info("worker_started", extra={"worker": self.id})
        try:
            await self._retiring.wait()
            await self._drain(claiming)
        finally:
            self._running = False
            await self._runner.abort()
            for service in self._keepers:
                service.stop()
            tasks = (*keeping, *([claiming] if claiming else []))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await keeper.stop(LAST_SECONDS)
        with suppress(DatabaseUnavailable, TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await self._queue.worker_gone()
        logger.info("worker_stopped", extra={"worker": self.id})

    async def _keep_leases(self, loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
        """Renew leases until told to stop; runs in its thread."""
        async with self._lines.keeping() as queue:
            keeper = LeaseKeeper(queue, self._leases, self._watch, loop)
            keeping = asyncio.create_task(keeper.run())
            await stopping.wait()
            keeping.cancel()
            await asyncio.wait((keeping,))

    async def _drain(self, claiming: asyncio.Task[None] | None) -> None:
        """Claim no more, give back what has not started, let running attempts end, settle all."""
        self._claimer.stop()
        self._runner.close()
        await self._in_time(self._end(claiming), self._plan.shutdown_seconds)
        cancelled = await self._runner.abort()
        await self._in_time(self._settle_all(), FLUSH_SECONDS)
        logger.info("worker_drained", extra={"cancelled": cancelled})

    async def _in_time(self, work: Coroutine[None, None, None], seconds: float) -> None:
        """Do this; once the worker is to stop there are only so many seconds left for it."""
        doing = asyncio.create_task(work)
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait((doing, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        await asyncio.wait((doing,), timeout=seconds)
        doing.cancel()
        # What a cancelled claim took is seen once PostgreSQL has answered the cancellation.
        await asyncio.wait((doing,), timeout=LAST_SECONDS)

    async def _end(self, claiming: asyncio.Task[None] | None) -> None:
        """Wait for a claim in flight, and for the attempts that run."""
        if claiming is not None:
            await claiming
        await self._runner.finished()

    async def _settle_all(self) -> None:
        """Give back what a claim without an answer brought, and have every decision written."""
        while True:
            try:
                await self._claimer.give_back(self._settler)
                break
            except DatabaseUnavailable:
                await asyncio.sleep(AGAIN_SECONDS)
        await self._settler.emptied()
