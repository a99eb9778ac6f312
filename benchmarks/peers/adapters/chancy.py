"""Chancy with psycopg and uvloop, its async executor.

It sends what has ended each 0.1 s instead of each second, asks for more as soon as one has ended
(`eager_polling`) and each second, not each fifth. A retry is its plugin for that, with no delay.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from importlib.metadata import version
from typing import Any, ClassVar

import uvloop
from chancy import Chancy, Job, Queue, Worker  # type: ignore[import-not-found]
from chancy.plugins.retry import RetryPlugin  # type: ignore[import-not-found]

from benchmarks.peers.adapters.protocol import Settings, Step, main

QUEUE = "bench"
NO_WAIT = {"retry_settings": {"backoff": 0, "backoff_factor": 1, "backoff_jitter": [0, 0]}}


class Handler:
    """What the handler does, which is looked up by its name."""

    step: ClassVar[Step]


async def noop(**item: Any) -> None:
    """Do nothing, or fail."""
    Handler.step(item["seq"], item)


class Producer:
    """An application with a pool."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def one(self, item: dict[str, Any], due: datetime | None) -> object:
        """Push one."""
        return await self._app.push(job_of(item, due))

    async def many(self, items: Sequence[dict[str, Any]], due: datetime | None) -> object:
        """Push many."""
        jobs = [job_of(item, due) for item in items]
        return [batch async for batch in self._app.push_many(jobs)]


def job_of(item: dict[str, Any], due: datetime | None) -> Any:
    """Make a job of the function `noop` of this module."""
    job = Job(func="__main__.noop", queue=QUEUE, kwargs=item, max_attempts=5, meta=NO_WAIT)
    return job.with_scheduled_at(due) if due else job


def open_app(dsn: str, connections: int = 10) -> Any:
    """Make an application; the caller opens it."""
    quiet = logging.getLogger("chancy")
    quiet.setLevel(logging.CRITICAL)
    return Chancy(dsn, plugins=[RetryPlugin()], max_connection_pool_size=connections, log=quiet)


class Adapter:
    """One queue with many at once."""

    left = """select count(*) from chancy_jobs
        where state in ('pending', 'running', 'retrying') and scheduled_at <= now()"""
    candidates: Sequence[Settings] = (
        {"concurrency": 2000, "eager_polling": True, "polling_interval": 1, "interval": 0.1},
        {"concurrency": 100, "eager_polling": True, "polling_interval": 1, "interval": 0.1},
        {"concurrency": 500, "eager_polling": True, "polling_interval": 1, "interval": 0.1},
    )
    defaults: Mapping[str, Any] = {"interval": 1}

    def version(self) -> str:
        """Tell the release."""
        return version("chancy")

    async def setup(self, dsn: str) -> None:
        """Migrate an empty database."""
        async with open_app(dsn) as app:
            await app.migrate()

    @asynccontextmanager
    async def producer(self, dsn: str) -> AsyncIterator[Producer]:
        """Open an application of one connection."""
        async with open_app(dsn, 1) as app:
            yield Producer(app)

    async def work(self, dsn: str, step: Step, settings: Settings) -> None:
        """Run."""
        Handler.step = step
        async with open_app(dsn) as app:
            given = dict(settings)
            interval = given.pop("interval")
            queue = Queue(QUEUE, executor=Chancy.Executor.Async, **given)
            await app.declare(queue, upsert=True)
            worker = Worker(app, register_signal_handlers=False)
            worker.send_outgoing_interval = interval
            await worker.start()
            await asyncio.Event().wait()


if __name__ == "__main__":
    main(Adapter(), uvloop.run)
