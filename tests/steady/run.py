"""A steady state from its beginning to its end: everything real, only the days are short."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from retryd.embedded import EmbeddedPostgres
from retryd.store.schema import migrate
from tests.postgres import MOVABLE_CLOCK, Connection, Database
from tests.steady.notes import Notes
from tests.steady.plan import Plan
from tests.steady.samples import Looker, Sample
from tests.steady.traffic import Traffic
from tests.steady.worker import Worker
from tests.waiting import until

HALF_A_DAY: Final = timedelta(hours=12)
# Leases move with the clock: that it goes on costs no attempt, however slow the machine is now.
# One that is given meanwhile has half a day left, and moves with the next step.
STEP: Final = """
    with held as materialized (
        select q.id from retryd.retry_queue q where q.state = 'processing' order by q.id for update
    ), longer as (
        update retryd.retry_queue q set lease_expires_at = q.lease_expires_at + $1
        where q.id = any(array(select h.id from held h))
    )
    update retryd_test.clock set ahead = ahead + $1
"""
BY_HAND: Final = 10
"""How many dead letters are replayed, and how many resolved, each day."""
OLDEST_DEAD: Final = """
    select array(
        select d.id from retryd.dead_letter d where d.status = 'pending' order by d.id limit $1)
"""
LIVE: Final = """
    select count(*) from retryd.retry_queue q
    where q.attempt > 0 or q.next_attempt_at < retryd.now() + '1 day'
"""
PARTITIONS: Final = "select c.oid from pg_class c where c.relispartition and c.relkind = 'r'"
TWICE: Final = "select p.id from retryd.place p group by p.id having count(*) > 1"


@dataclass(slots=True)
class Record:
    """What was seen, and what was found wrong at the end."""

    plan: Plan
    samples: list[Sample] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    captured: int = 0
    attempts: int = 0
    replayed: int = 0
    partitions_dropped: int = 0


@asynccontextmanager
async def open_database(plan: Plan, folder: Path) -> AsyncIterator[Database]:
    """Start a server as it is by default, with a migrated database whose clock can be moved."""
    settings = {
        "shared_preload_libraries": "pg_stat_statements",
        "autovacuum_naptime": plan.naptime,
    }
    async with EmbeddedPostgres(folder / "postgres", settings) as server:
        await migrate(server.dsn)
        database = Database(server.dsn)
        connection = await database.connect()
        await connection.execute(MOVABLE_CLOCK)
        await connection.execute("create extension pg_stat_statements")
        try:
            yield database
        finally:
            database.disconnect()


class Steady:
    """One run."""

    def __init__(self, plan: Plan, database: Database, folder: Path) -> None:
        self._plan = plan
        self._database = database
        self._folder = folder
        self._traffic = Traffic()
        self._notes = Notes(folder / "notes")
        self._workers: dict[str, Worker] = {}
        self._started: list[Worker] = []
        self._day = 0
        self._lives: dict[int, int] = {}
        self._partitions: set[int] = set()
        self._record = Record(plan)

    async def run(self) -> Record:
        """Let it flow, look at it, drain it, and do the accounts."""
        self._notes.folder.mkdir()
        connection = await self._database.connect()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._end)
            for name in ("stays", "replaced"):
                self._workers[name] = await self._start(connection)
            await self._traffic.backlog(connection, self._plan.backlog)
            await connection.execute("vacuum analyze")
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._flow())
                tasks.create_task(self._look())
                tasks.create_task(self._live_through())
            await until(lambda: self._drained(connection), within=60)
            for worker in self._workers.values():
                await worker.stop()
        await self._balance(connection)
        return self._record

    async def _flow(self) -> None:
        connection = await self._database.connect()
        await self._traffic.flow(connection, self._plan.rate)

    async def _look(self) -> None:
        looker = Looker(await self._database.connect(), self._notes, time.monotonic())
        while not self._traffic.over:
            pids = {name: worker.process.pid for name, worker in self._workers.items()}
            self._record.samples.append(await looker.look(self._day, self._traffic.passed, pids))
            next_at = looker.began + len(self._record.samples) * self._plan.every_seconds
            await until(lambda at=next_at: time.monotonic() >= at, within=60)  # type: ignore[misc]

    async def _live_through(self) -> None:
        """Let one day after the other pass, each in two steps."""
        connection = await self._database.connect()
        traffic = self._traffic
        for half in range(1, 2 * self._plan.days + 1):
            traffic.allowed = half * self._plan.half_a_day
            await until(lambda: traffic.passed >= traffic.allowed, within=600)
            await connection.execute(STEP, HALF_A_DAY)
            if half % 2 == 0:
                self._day += 1
                await self._a_days_work(connection)
        traffic.over = True

    async def _a_days_work(self, connection: Connection) -> None:
        """Replay and resolve some of the dead, and replace a worker: the new one prunes at once."""
        dead = await connection.fetchval(OLDEST_DEAD, 2 * BY_HAND)
        for id_ in dead[:BY_HAND]:
            if await connection.fetchval("select retryd.replay_dead_letter($1)", id_):
                self._lives[id_] = 2
        for id_ in dead[BY_HAND:]:
            await connection.fetchval("select retryd.resolve_dead_letter($1)", id_)
        self._partitions |= await partitions(connection)
        former = self._workers["replaced"]
        self._workers["replaced"] = await self._start(connection)
        await former.stop()

    async def _start(self, connection: Connection) -> Worker:
        log = self._folder / f"log-{len(self._started)}"
        worker = await Worker.start(self._database.dsn, self._notes.folder, log)
        self._started.append(worker)
        await worker.works(connection)
        return worker

    async def _end(self) -> None:
        for worker in self._started:
            await worker.end()

    async def _drained(self, connection: Connection) -> bool:
        return bool(await connection.fetchval(LIVE) == 0)

    async def _balance(self, connection: Connection) -> None:
        """Nothing is lost, nothing is done twice, and what waits still waits."""
        self._notes.read()
        record, fates = self._record, self._traffic.fates
        record.captured, record.replayed = len(fates), len(self._lives)
        record.partitions_dropped = len(self._partitions - await partitions(connection))
        record.attempts = sum(map(len, self._notes.attempts.values()))
        record.wrong += self._notes.wrong(fates, self._lives)
        waiting = await connection.fetchval("select count(*) from retryd.retry_queue")
        if waiting != self._plan.backlog:
            record.wrong.append(f"{waiting} wait instead of {self._plan.backlog}")
        twice = await connection.fetch(TWICE)
        record.wrong += [f"retry {row[0]} is in two places" for row in twice]


async def partitions(connection: Connection) -> set[int]:
    """Return the days that there are, of the attempts and of the archive."""
    return {row[0] for row in await connection.fetch(PARTITIONS)}
