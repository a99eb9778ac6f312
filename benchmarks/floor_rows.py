"""The floor for the rows that `floor.py` lacks: its table, its three statements, the same loop.

An adapter as those of the peers. A failure is one update of the batch that makes it due again. An
idle loop looks again after a millisecond, for there is nobody to wake it.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import orjson
import uvloop

from benchmarks.peers.adapters.protocol import FailedOnPurposeError, Settings, Step, main

# Taken as it is, types or none.
floor: Any = importlib.import_module("benchmarks.floor")

INSERT_ONE = "insert into floor_item (run_at, payload) values ($1, $2::jsonb)"
INSERT_LATER = (
    "insert into floor_item (run_at, payload) select $1, p::jsonb from unnest($2::text[]) p"
)
FAIL = "update floor_item set lease_until = null, run_at = now() where id = any($1::bigint[])"
IDLE_SECONDS = 0.001


class Producer:
    """One connection."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self._connection = connection

    async def one(self, item: dict[str, Any], due: datetime | None) -> object:
        """Insert one."""
        body = orjson.dumps(item).decode()
        return await self._connection.execute(INSERT_ONE, due or datetime.now(UTC), body)

    async def many(self, items: Sequence[dict[str, Any]], due: datetime | None) -> object:
        """Insert many, with one statement over an array."""
        bodies = [orjson.dumps(item).decode() for item in items]
        if due:
            return await self._connection.execute(INSERT_LATER, due, bodies)
        return await self._connection.execute(floor.INSERT, bodies)


class Adapter:
    """A bare loop."""

    left = "select count(*) from floor_item where run_at <= now()"
    candidates: Sequence[Settings] = ({"batch": 100},)
    defaults: Mapping[str, Any] = {"batch": 100}

    def version(self) -> str:
        """Tell the driver."""
        return f"asyncpg {asyncpg.__version__}"

    async def setup(self, dsn: str) -> None:
        """Make the table."""
        connection = await asyncpg.connect(dsn)
        await connection.execute(floor.DDL)
        await connection.close()

    @asynccontextmanager
    async def producer(self, dsn: str) -> AsyncIterator[Producer]:
        """Connect."""
        connection = await asyncpg.connect(dsn)
        yield Producer(connection)
        await connection.close()

    async def work(self, dsn: str, step: Step, settings: Settings) -> None:
        """Claim, decode, delete or make due again."""
        connection = await asyncpg.connect(dsn)
        while True:
            rows = await connection.fetch(floor.CLAIM, settings["batch"])
            if not rows:
                await asyncio.sleep(IDLE_SECONDS)
                continue
            done, failed = [], []
            for row in rows:
                try:
                    step(row["id"], orjson.loads(row["payload"]))
                    done.append(row["id"])
                except FailedOnPurposeError:
                    failed.append(row["id"])
            if done:
                await connection.execute(floor.ACK, done)
            if failed:
                await connection.execute(FAIL, failed)


if __name__ == "__main__":
    main(Adapter(), uvloop.run)
