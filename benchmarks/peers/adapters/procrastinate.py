"""Procrastinate with psycopg, on Python's own event loop; finished jobs are deleted.

A retry is its own strategy with no wait.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from importlib.metadata import version
from typing import Any

from procrastinate import App, PsycopgConnector, RetryStrategy  # type: ignore[import-not-found]

from benchmarks.peers.adapters.protocol import Settings, Step, main

NAME = "noop"
RETRIES = RetryStrategy(max_attempts=5, wait=0)


class Producer:
    """An application with a pool."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def one(self, item: dict[str, Any], due: datetime | None) -> object:
        """Defer one."""
        return await self._app.configure_task(NAME, schedule_at=due).defer_async(**item)

    async def many(self, items: Sequence[dict[str, Any]], due: datetime | None) -> object:
        """Defer a batch."""
        return await self._app.configure_task(NAME, schedule_at=due).batch_defer_async(*items)


def open_app(dsn: str, pool: int) -> Any:
    """Make an application; the caller opens it."""
    connector = PsycopgConnector(conninfo=dsn, min_size=1, max_size=pool)
    return App(connector=connector)


class Adapter:
    """Async tasks, several at once."""

    left = """select count(*) from procrastinate_jobs
        where status in ('todo', 'doing') and (scheduled_at is null or scheduled_at <= now())"""
    candidates: Sequence[Settings] = (
        {"concurrency": 100, "pool": 30, "delete_jobs": "always"},
        {"concurrency": 10, "pool": 10, "delete_jobs": "always"},
        {"concurrency": 5, "pool": 5, "delete_jobs": "always"},
        {"concurrency": 30, "pool": 20, "delete_jobs": "always"},
    )
    defaults: Mapping[str, Any] = {"pool": 4}

    def version(self) -> str:
        """Tell the release."""
        return version("procrastinate")

    async def setup(self, dsn: str) -> None:
        """Apply the schema to an empty database."""
        async with open_app(dsn, 1).open_async() as app:
            await app.schema_manager.apply_schema_async()

    @asynccontextmanager
    async def producer(self, dsn: str) -> AsyncIterator[Producer]:
        """Open an application of one connection."""
        async with open_app(dsn, 1).open_async() as app:
            yield Producer(app)

    async def work(self, dsn: str, step: Step, settings: Settings) -> None:
        """Run."""
        logging.getLogger("procrastinate").setLevel(logging.CRITICAL)

        async def noop(context: Any, **item: Any) -> None:
            step(context.job.id, item)

        given = dict(settings)
        app = open_app(dsn, given.pop("pool"))
        app.task(name=NAME, pass_context=True, retry=RETRIES)(noop)
        async with app.open_async():
            await app.run_worker_async(install_signal_handlers=False, **given)


if __name__ == "__main__":
    main(Adapter())
