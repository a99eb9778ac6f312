"""PgQueuer with asyncpg and uvloop; a retry is `RetryRequested` with no delay."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import asyncpg
import uvloop
from pgqueuer import PgQueuer  # type: ignore[import-not-found]
from pgqueuer.db import AsyncpgDriver  # type: ignore[import-not-found]
from pgqueuer.errors import RetryRequested  # type: ignore[import-not-found]
from pgqueuer.queries import Queries  # type: ignore[import-not-found]

from benchmarks.peers.adapters.protocol import FailedOnPurposeError, Settings, Step, main

NAME = "noop"


class Producer:
    """One connection."""

    def __init__(self, queries: Any) -> None:
        self._queries = queries

    async def one(self, item: dict[str, Any], due: datetime | None) -> object:
        """Enqueue one."""
        return await self._queries.enqueue(NAME, json.dumps(item).encode(), 0, until(due))

    async def many(self, items: Sequence[dict[str, Any]], due: datetime | None) -> object:
        """Enqueue many: lists in place of values."""
        size = len(items)
        bodies = [json.dumps(item).encode() for item in items]
        return await self._queries.enqueue([NAME] * size, bodies, [0] * size, [until(due)] * size)


def until(due: datetime | None) -> timedelta | None:
    """Return how long it is until then, as this API wants it."""
    return due - datetime.now(UTC) if due else None


class Adapter:
    """Async entry points, one connection, batches."""

    left = "select count(*) from pgqueuer where execute_after <= now()"
    candidates: Sequence[Settings] = (
        {"batch_size": 1000},
        {"batch_size": 500},
        {"batch_size": 100},
        {"batch_size": 2000},
    )
    defaults: Mapping[str, Any] = {}

    def version(self) -> str:
        """Tell the release."""
        return version("pgqueuer")

    async def setup(self, dsn: str) -> None:
        """Install into an empty database."""
        connection = await asyncpg.connect(dsn)
        await Queries(AsyncpgDriver(connection)).install()
        await connection.close()

    @asynccontextmanager
    async def producer(self, dsn: str) -> AsyncIterator[Producer]:
        """Connect."""
        connection = await asyncpg.connect(dsn)
        yield Producer(Queries(AsyncpgDriver(connection)))
        await connection.close()

    async def work(self, dsn: str, step: Step, settings: Settings) -> None:
        """Run."""
        logging.getLogger("pgqueuer").setLevel(logging.WARNING)

        async def noop(job: Any) -> None:
            try:
                step(job.id, job.payload)
            except FailedOnPurposeError as error:
                raise RetryRequested(timedelta(0)) from error

        queuer = PgQueuer(AsyncpgDriver(await asyncpg.connect(dsn)))
        queuer.entrypoint(NAME)(noop)
        await queuer.run(**settings)


if __name__ == "__main__":
    main(Adapter(), uvloop.run)
