"""Oban for Python with psycopg and uvloop, on Python 3.12 or newer.

Its stager, which makes scheduled and failed jobs available, looks each 0.1 s, not each second. It
takes delays in whole seconds only. Finished jobs stay, as they do by default.
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
from oban import Oban, worker  # type: ignore[import-not-found]
from oban.schema import install  # type: ignore[import-not-found]

from benchmarks.peers.adapters.protocol import Settings, Step, main

QUEUE = "bench"


class Noop:
    """The handler; the queue makes an instance per call, so what it does stands on the class."""

    step: ClassVar[Step]

    async def process(self, job: Any) -> None:
        """Do nothing, or fail."""
        type(self).step(job.id, job.args)

    def backoff(self, _: Any) -> int:
        """Wait for nothing."""
        return 0


WORKER: Any = worker(queue=QUEUE)(Noop)


class Producer:
    """A client with a pool."""

    def __init__(self, oban: Any) -> None:
        self._oban = oban

    async def one(self, item: dict[str, Any], due: datetime | None) -> object:
        """Enqueue one."""
        return await self._oban.enqueue(job_of(item, due))

    async def many(self, items: Sequence[dict[str, Any]], due: datetime | None) -> object:
        """Enqueue many."""
        return await self._oban.enqueue_many([job_of(item, due) for item in items])


def job_of(item: dict[str, Any], due: datetime | None) -> Any:
    """Make a job; one without a time is available at once."""
    return WORKER.new(item, scheduled_at=due) if due else WORKER.new(item)


class Adapter:
    """One queue with a high limit."""

    left = """select count(*) from oban_jobs
        where state in ('available', 'executing', 'retryable')
            or state = 'scheduled' and scheduled_at <= timezone('utc', now())"""
    candidates: Sequence[Settings] = (
        {"limit": 2000, "interval": 0.1},
        {"limit": 1000, "interval": 0.1},
        {"limit": 50, "interval": 0.1},
        {"limit": 200, "interval": 0.1},
    )
    defaults: Mapping[str, Any] = {"limit": 10, "interval": 1.0}

    def version(self) -> str:
        """Tell the release."""
        return version("oban")

    async def setup(self, dsn: str) -> None:
        """Install into an empty database."""
        pool = await Oban.create_pool(dsn, max_size=1)
        await install(pool)
        await pool.close()

    @asynccontextmanager
    async def producer(self, dsn: str) -> AsyncIterator[Producer]:
        """Open a client of one connection."""
        pool = await Oban.create_pool(dsn, max_size=1)
        yield Producer(Oban(pool=pool))
        await pool.close()

    async def work(self, dsn: str, step: Step, settings: Settings) -> None:
        """Run."""
        logging.getLogger("oban").setLevel(logging.CRITICAL)
        WORKER.step = staticmethod(step)
        oban = Oban(
            pool=await Oban.create_pool(dsn),
            queues={QUEUE: settings["limit"]},
            stager={"interval": settings["interval"]},
        )
        await oban.start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    main(Adapter(), uvloop.run)
