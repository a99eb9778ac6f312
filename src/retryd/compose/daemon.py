"""The process of `retryd run`: a worker until it is told to stop, replaced by a reload."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
from typing import TYPE_CHECKING, TypeVar

import retryd
from retryd.compose.configuration import check_reload, open_handlers
from retryd.compose.generation import begin
from retryd.compose.process import Process
from retryd.domain.errors import DatabaseRefused, DatabaseUnavailable, RetrydError
from retryd.ports import Readiness
from retryd.spool.inventory import RecordCount
from retryd.telemetry.log import set_up_again
from retryd.telemetry.metrics import Vitals
from retryd.telemetry.tracing import exporting

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from retryd.client.app import App
    from retryd.compose.generation import Generation
    from retryd.ports import OwnedHandler
    from retryd.settings.models import Configuration
    from retryd.telemetry.captures import Captures

LONGEST_PAUSE_SECONDS = 3.0

T = TypeVar("T")

logger = logging.getLogger("retryd.daemon")


class Daemon:
    """Runs a worker and survives what happens to PostgreSQL; its health may be asked any time.

    `load` reads the configuration anew for a reload. `stop`, `reload` and `dump` are for signals.
    """

    def __init__(
        self,
        configuration: Configuration,
        load: Callable[[], Configuration],
        dsn: str,
        app: App | None,
        *,
        until_empty: bool = False,
    ) -> None:
        self._configuration = configuration
        self._load = load
        self._dsn = dsn
        self._app = app
        self._process = Process()
        self._process.metrics.watch(self._vitals)
        self._spool_records = RecordCount()
        self._until_empty = until_empty
        self._current: Generation | None = None
        self._former: set[Generation] = set()
        self._stopping = asyncio.Event()
        self._reloads = self._reloaded = 0
        self._changed = asyncio.Event()
        self._alert: str | None = None

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return the text of a scrape and its content type, by the header Accept."""
        return self._process.metrics.exposition(accept)

    @property
    def captures(self) -> Captures:
        """Where events that come in are counted."""
        return self._process.metrics.captures

    def stop(self) -> None:
        """Let everything drain and end."""
        self._stopping.set()
        self._changed.set()

    @property
    def shutdown_seconds(self) -> float:
        """How long running attempts may still take once it is to stop."""
        return self._configuration.retry.shutdown_timeout_seconds

    def hurry(self) -> None:
        """End at once, as any process does at this signal; leases run out, and nothing is lost."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(128 + signal.SIGTERM)  # the first process of a container lives through its own

    def reload(self) -> None:
        """Read the configuration again and work by it; what cannot be used changes nothing."""
        self._reloads += 1
        self._changed.set()

    def dump(self) -> None:
        """Write what is in flight to the log."""
        logger.info("in_flight", extra=self.state())

    async def run(self) -> None:
        """Work until `stop` is called or, with `until_empty`, nothing is left to do.

        Waits for PostgreSQL to come up, but for one that refuses the login. Raises
        ConfigurationError, DatabaseRefused or SchemaOutdated before anything is claimed.
        """
        with exporting(os.environ):
            await self._work()

    async def _work(self) -> None:
        handlers = open_handlers(self._configuration, self._app, self._process.threads)
        self._current = await self._unless_stopped(self._first(handlers))
        while self._current is not None and not self._stopping.is_set():
            self._current.task.add_done_callback(lambda _: self._changed.set())
            await self._changed.wait()
            self._changed.clear()
            if self._current.task.done():
                break
            if self._reloaded < self._reloads and not self._stopping.is_set():
                reloads = self._reloads
                await self._unless_stopped(self._replace(self._current))
                self._reloaded = reloads
        if self._current is not None:
            last = (self._current, *self._former)
            for generation in last:
                generation.worker.stop()
            await asyncio.gather(*(generation.task for generation in last))

    async def _unless_stopped(self, work: Coroutine[None, None, T]) -> T | None:
        """Do this, or break it off when the process is to stop."""
        doing = asyncio.create_task(work)
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait((doing, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not doing.done():
            doing.cancel()
            await asyncio.wait((doing,))
        return None if doing.cancelled() else doing.result()

    async def _first(self, handlers: Sequence[OwnedHandler]) -> Generation:
        while True:
            try:
                return await self._begin(self._configuration, handlers)
            except DatabaseRefused:
                raise
            except DatabaseUnavailable as error:
                if self._until_empty:
                    raise
                self._process.reach.failed(str(error))
            await asyncio.sleep(random.uniform(0.1, LONGEST_PAUSE_SECONDS))

    async def _begin(
        self, configuration: Configuration, handlers: Sequence[OwnedHandler]
    ) -> Generation:
        return await begin(
            configuration,
            handlers,
            self._dsn,
            self._process,
            until_empty=self._until_empty,
            process_ends=True,
        )

    async def _replace(self, former: Generation) -> None:
        """Begin a new generation, then let the former one drain beside it."""
        try:
            configuration = self._load()
            check_reload(self._configuration, configuration)
            # In a thread: what a handler imports or starts may take long, and attempts are running.
            handlers = await self._process.threads.start(
                lambda: open_handlers(configuration, self._app, self._process.threads),
                name="reload",
            )
            following = await self._begin(configuration, handlers)
        except Exception as error:  # whatever is wrong with it, what works goes on
            known = isinstance(error, RetrydError)
            self._alert = f"the configuration was not reloaded: {error}"
            logger.error("reload_failed", extra={"reason": str(error)}, exc_info=not known)  # noqa: TRY400 - a traceback only for what is no plain refusal
        else:
            self._alert = None
            self._configuration = configuration
            self._current = following
            self._former.add(former)
            former.task.add_done_callback(lambda _: self._former.discard(former))
            former.worker.retire()
            set_up_again(configuration.log.format, configuration.log.level)
            logger.info("reloaded", extra={"worker": following.worker.id})
        if self._current is not None:
            self._current.worker.alert(self._alert)

    def _vitals(self) -> Vitals:
        workers = [each.worker for each in (self._current, *self._former) if each is not None]
        pools = [pool for worker in workers for pool in worker.pools]
        idle = sum(pool.idle for pool in pools)
        return Vitals(
            overrunning_threads=self._process.threads.overrunning(),
            connections_in_use=sum(pool.open for pool in pools) - idle,
            connections_idle=idle,
            connections_max=sum(pool.largest for pool in pools),
            ready=not self._reasons(),
            spool_records=self._spool_records.count(self._configuration.spool.directories),
        )

    async def ready(self) -> Readiness:
        """Tell whether this process takes work."""
        reasons = self._reasons()
        return Readiness(not reasons, tuple(reasons))

    def _reasons(self) -> list[str]:
        """Tell what keeps it from its work; may be asked from any thread."""
        reasons = []
        if self._stopping.is_set():
            reasons.append("it is stopping")
        if self._current is None:
            reasons.append("it has not started yet")
        if (away := self._process.reach.away_seconds) is not None:
            reasons.append(
                f"PostgreSQL has been away for {away:.0f} s: {self._process.reach.reason}"
            )
        elif self._current is not None:
            reasons += self._current.worker.problems()
        return reasons

    def state(self) -> dict[str, object]:
        """Tell how this process is, for people."""
        away = self._process.reach.away_seconds
        worker = self._current.worker if self._current else None
        return {
            "version": retryd.__version__,
            "worker": worker.id if worker else None,
            "database": "reachable" if away is None else "away",
            "database_away_seconds": away,
            "database_reason": self._process.reach.reason or None,
            "alert": self._alert,
            "stopping": self._stopping.is_set(),
            "reloads": self._reloads,
            "reloading": self._reloaded < self._reloads,
            "in_flight": worker.in_flight() if worker else [],
        }
