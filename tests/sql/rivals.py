"""Two sessions that meet at one lock, a third that watches, and what became of a retry."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.postgres import Connection, Database
from tests.sql.doors import Doors
from tests.waiting import until

Verb: TypeAlias = Callable[[Doors], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Rivals:
    """Two sessions; what the first does stays open until the second has answered or waits."""

    first: Doors
    second: Doors
    watch: Connection

    @classmethod
    async def of(cls, database: Database) -> Rivals:
        """Connect three sessions. The second one gives up a wait that nobody ends."""
        first, second, watch = [await database.connect() for _ in range(3)]
        await second.execute("set lock_timeout = '20s'")
        return cls(Doors(first), Doors(second), watch)

    async def meet(self, first: Verb, second: Verb, *, keep: bool = True) -> tuple[object, object]:
        """Let `second` wait for a lock of `first`, then end the first; returns both answers.

        Without `keep` the first one is rolled back.
        """
        transaction = self.first.connection.transaction()
        await transaction.start()
        mine = await first(self.first)
        waiting = asyncio.ensure_future(second(self.second))
        await until(lambda: self.second_waits(waiting))
        await (transaction.commit() if keep else transaction.rollback())
        return mine, await waiting

    async def pass_by(self, first: Verb, second: Verb) -> tuple[object, object]:
        """Let `second` answer while what `first` did is still open; returns both answers."""
        await self.second.connection.execute("set lock_timeout = '1s'")
        async with self.first.connection.transaction():
            mine = await first(self.first)
            theirs = await second(self.second)
        return mine, theirs

    async def second_waits(self, call: asyncio.Future[object]) -> bool:
        """Tell whether the second session waits for a lock that the first one holds."""
        assert not call.done(), f"it waited for nobody: {call}"
        return bool(
            await self.watch.fetchval(
                "select wait_event_type = 'Lock' and $2 = any(pg_blocking_pids(pid))"
                " from pg_stat_activity where pid = $1",
                self.second.connection.get_server_pid(),
                self.first.connection.get_server_pid(),
            )
        )


@dataclass(frozen=True, slots=True)
class Fate:
    """What is on record of a retry: `case` is its dead letter's status and who resolved it."""

    place: str | None
    state: str | None = None
    case: tuple[str, str | None] | None = None
    log: tuple[str, ...] = ()


async def fate(connection: Connection, number: int) -> Fate:
    """Read what became of a retry; that it is in one place at most is checked."""
    doors = Doors(connection)
    log = await connection.fetch(
        "select outcome from retryd.retry_attempt where retry = $1 order by claim_token", number
    )
    case = await connection.fetchrow(
        "select status, resolved_by from retryd.dead_letter where id = $1", number
    )
    row = await doors.row("retries", number)
    return Fate(
        (await doors.places()).get(number),
        row["state"] if row else None,
        (case["status"], case["resolved_by"]) if case else None,
        tuple(line["outcome"] for line in log),
    )
