"""What a fault test works with: a server, a database, a fleet, and the retries put in."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import asyncpg

import retryd
from tests.faults.fleet import Fleet
from tests.faults.ledger import Ledger, balance
from tests.faults.server import LISTENING, LOGIN, Server
from tests.postgres import Connection, Database
from tests.waiting import until


@dataclass(slots=True)
class Scene:
    """The retries of one test; every one of them is in the books at the end."""

    server: Server
    database: Database
    fleet: Fleet
    ids: list[int] = field(default_factory=list)

    @property
    def worker_dsn(self) -> str:
        """The address of the database for a worker."""
        return self.server.worker_dsn(self.database.dsn)

    async def set_for_workers(self, setting: str, value: str) -> None:
        """Give the role of the workers a setting, in this database, from the next session on."""
        name = urlsplit(self.database.dsn).path.removeprefix("/")
        await self.server.execute(
            f"alter role {LOGIN} in database {name} set {setting} = '{value}'"
        )

    async def capture(self, times: int = 1, operation: str = "work.run", **payload: object) -> int:
        """Capture failures that are due at once, in one transaction; returns the last id."""
        connection = await asyncpg.connect(self.database.dsn)
        try:
            # It waits for no standby, so that captures go on while other commits are held.
            await connection.execute("set synchronous_commit = local")
            now = await connection.fetchval("select retryd.now()")
            event = {"event_type": f"{operation}.failed", "payload": payload, "not_before": now}
            self.ids += await retryd.capture_many(connection, [event] * times)
        finally:
            await connection.close()
        return self.ids[-1]

    async def connect(self) -> Connection:
        """Open a connection of the owner; it is closed with the test."""
        return await self.database.connect()

    async def value(self, query: str, *arguments: object) -> Any:
        """Ask the database for one value, on a connection that faults have not met."""
        connection = await asyncpg.connect(self.database.dsn)
        try:
            return await connection.fetchval(query, *arguments)
        finally:
            connection.terminate()

    async def count(self, place: str) -> int:
        """Return how many retries are there."""
        query = "select count(*) from retryd.place where place = $1"
        return int(await self.value(query, place))

    async def claimed(self) -> int:
        """Return how many retries are held under a lease."""
        query = "select count(*) from retryd.retry_queue where state = 'processing'"
        return int(await self.value(query))

    async def given_back(self) -> int:
        """Return how many retries wait with no attempt counted."""
        query = (
            "select count(*) from retryd.retry_queue"
            " where state = 'pending' and (attempt, lost_attempts) = (0, 0)"
        )
        return int(await self.value(query))

    async def asleep(self) -> bool:
        """Tell whether a worker has asked to be rung, and listens."""
        sleepers = await self.value("select count(*) from retryd.sleeper")
        return bool(sleepers and await self.server.backends("retryd/%", LISTENING))

    async def drained(self, *, within: float = 30) -> float:
        """Wait until no retry is live; returns how many seconds that took."""
        began = time.monotonic()

        async def nothing_live() -> bool:
            return not await self.count("live")

        await until(nothing_live, within=within)
        return time.monotonic() - began

    async def close(self, *, unknown: int = 0, stale: int = 0, max_lost: int = 3) -> Ledger:
        """Stop the fleet, which must exit with 0, and make the base check."""
        for member in self.fleet.members:
            if member.running:
                assert await member.stop() == 0, member.said()
        connection = await self.connect()
        return await balance(
            connection, self.fleet, self.ids, max_lost=max_lost, unknown=unknown, stale=stale
        )
