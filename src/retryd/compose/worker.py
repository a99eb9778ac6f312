"""One worker from one configuration: its connections, its handlers, its plan."""

from __future__ import annotations

import logging
import os
import socket
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import retryd
from retryd.compose.configuration import published
from retryd.sources.spool import SpoolDrainer
from retryd.store.intake import Intake
from retryd.store.lines import open_lines
from retryd.store.pool import behind_pooler
from retryd.store.revisions import check
from retryd.telemetry.observers import Observers
from retryd.telemetry.tracing import traced
from retryd.worker.plan import Plan
from retryd.worker.pruner import Retention
from retryd.worker.supervisor import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from retryd.compose.process import Process
    from retryd.ports import Means, OwnedHandler
    from retryd.service import Service
    from retryd.settings.models import Configuration
    from retryd.store.queue import Queue

ITSELF = "retryd/worker"
"""The actor of what nobody asked for: no login has such a name."""

logger = logging.getLogger("retryd.worker")


@asynccontextmanager
async def open_worker(
    configuration: Configuration,
    handlers: Sequence[OwnedHandler],
    dsn: str,
    process: Process,
    **ends: bool,
) -> AsyncIterator[Worker]:
    """Make a worker that is ready to run; its handlers and policies are published.

    `ends` are `until_empty` and `process_ends` of the Plan. Raises DatabaseUnavailable or
    SchemaOutdated; nothing is claimed by then.
    """
    policies = configuration.policies().values()
    worker_id = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:12]}"
    pooled = configuration.database.pgbouncer
    if pooled == "auto":
        pooled = await behind_pooler(dsn, "retryd/start")
    size = configuration.database.pool_size
    async with open_lines(
        dsn, worker_id, size=size, pgbouncer=pooled, reach=process.reach
    ) as lines:
        async with lines.pools[0].connection() as connection:
            await check(connection)
        means = Lent(lines.shared, dsn, pooled=pooled)
        async with opened(handlers, means):
            await lines.shared.publish_policies(published(policies))
            await lines.shared.publish_handlers(handler.definition for handler in handlers)
            listen_dsn = listening_at(configuration, dsn, pooled=pooled)
            plan = plan_of(configuration, listen_dsn, **ends)
            process.metrics.serve(handler.name for handler in handlers)
            observer = Observers(process.metrics, process.lines)
            worker = Worker(
                lines,
                traced(handlers, retryd.__version__),
                policies,
                observer,
                plan,
                sources=sources_of(configuration, Intake(lines.pools[0])),
            )
            means.lend_until(lambda: worker.retiring)
            try:
                yield worker
            finally:
                process.lines.tell_untold()


@asynccontextmanager
async def opened(handlers: Iterable[OwnedHandler], means: Means) -> AsyncIterator[None]:
    """Have these handlers open while the context lasts."""
    async with AsyncExitStack() as stack:
        for handler in handlers:
            stack.push_async_callback(handler.close)
            await handler.open(means)
        yield


class Lent:
    """What the worker of this queue lends its handlers."""

    def __init__(self, queue: Queue, dsn: str, *, pooled: bool) -> None:
        self._queue = queue
        self._retired: Callable[[], bool] = lambda: False
        self.dsn = dsn
        self.pooled = pooled

    def lend_until(self, retired: Callable[[], bool]) -> None:
        """Say how to ask whether the worker has been told to claim no more."""
        self._retired = retired

    async def pause(self, handler: str, reason: str) -> None:
        """Have nothing more claimed for a handler, in the name of retryd itself.

        A worker that claims no more pauses nobody: what an attempt under its settings has found may
        be what was put right since. Who claims next finds out.
        """
        if self._retired():
            return
        if await self._queue.pause_handler(handler, reason, ITSELF):
            logger.error("handler_paused", extra={"handler": handler, "reason": reason})


def sources_of(configuration: Configuration, intake: Intake) -> list[Service]:
    """Return what brings in failures by itself: the spools of this machine."""
    return [SpoolDrainer(directory, intake) for directory in configuration.spool.directories]


def listening_at(configuration: Configuration, dsn: str, *, pooled: bool) -> str | None:
    """Return where the doorbell listens; nowhere behind a pooler, which keeps no session."""
    database = configuration.database
    if configuration.retry.listen_notify is False:
        return None
    if database.listen_url is not None:
        return database.listen_url.get_secret_value()
    return None if pooled else dsn


def plan_of(configuration: Configuration, listen_dsn: str | None, **ends: bool) -> Plan:
    """Return how a worker of this configuration works."""
    retry = configuration.retry
    return Plan(
        claims=retry.enabled,
        batch_size=retry.batch_size,
        worker_count=retry.worker_count,
        poll_seconds=retry.poll_interval_seconds,
        lease_seconds=retry.lease_seconds,
        shutdown_seconds=retry.shutdown_timeout_seconds,
        retention=Retention(
            retry.retention.completed_days,
            retry.retention.attempts_days,
            retry.retention.dead_letter_days,
        ),
        listen_dsn=listen_dsn,
        version=retryd.__version__,
        **ends,
    )
