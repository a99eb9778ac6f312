"""Rows of draining: how fast items that are due end, alone, beside others, or failing."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, TypeAlias

from benchmarks.peers.contenders import FLOOR
from benchmarks.peers.contest import Contest, Figures
from benchmarks.peers.install import ROOT
from benchmarks.peers.server import Connection, connected
from benchmarks.peers.workers import CELL_SECONDS, POLL_SECONDS

MILLION: Final = 1_000_000
FAILING: Final = 5_000
LEAST_FAILING: Final = 2_000
ATTEMPTS: Final = 3
PASSING_SECONDS: Final = 300.0
CHUNK: Final = 20_000
PAIRS: Final = 3

Settings: TypeAlias = Mapping[str, Any]


SIZE = """
    select sum({}(oid)) / 1024 / 1024 from pg_class
    where relkind = 'r' and relnamespace not in
        ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
"""


async def floor_itself(contest: Contest, processes: int) -> Figures:
    """Run `floor.py`, unchanged."""
    async with contest.database() as dsn:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "benchmarks/floor.py", "--dsn", dsn, "--repeat", "1"),
            *("--items", str(contest.items), "--processes", str(processes)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
    said: dict[str, float] = json.loads(out)
    return said


@dataclass(frozen=True, slots=True)
class Ending:
    """What was left when time was up, when that was, and what PostgreSQL had spent by then."""

    left: int
    at: float
    server_seconds: float


async def ended(contest: Contest, connection: Connection, within: float) -> Ending:
    """Wait until the database says that nothing is left, as it was when it was asked.

    To count beside a million takes long, and is not the contender's.
    """
    deadline = time.monotonic() + within
    while True:
        at, spent = time.time(), contest.server.cpu_seconds()
        left = await contest.left(connection)
        if left <= 0 or time.monotonic() > deadline:
            return Ending(max(0, left), at, spent)
        await asyncio.sleep(POLL_SECONDS)


async def drained(
    contest: Contest, dsn: str, items: int, *, calls: int = 1, processes: int = 1, **how: Any
) -> Figures:
    """Work on items that are due until each has ended: from the first call to the last commit.

    What did not end in time counts with what it did until then.
    """
    async with (
        connected(dsn) as connection,
        contest.workers(dsn, processes=processes, **how) as workers,
    ):
        await workers.until(1)
        before = workers.reports.calls
        ours, theirs = workers.cpu_seconds(), contest.server.cpu_seconds()
        # Nobody asks the database before the last call: with many dead rows that would cost.
        done = await workers.until(items * calls)
        spent = time.time() - workers.reports.first
        ending = await ended(contest, connection, within=CELL_SECONDS - spent if done else 0)
        seconds = ending.at - workers.reports.first
        thousands = max(1, workers.reports.calls - before) / 1000
        return {
            "rate": (items - ending.left) / seconds,
            "unfinished": float(ending.left),
            "worker_ms": (workers.cpu_seconds() - ours) * 1000 / thousands,
            "postgres_ms": (ending.server_seconds - theirs) * 1000 / thousands,
            "megabytes": workers.peak_megabytes(),
        }


async def prepared(contest: Contest, dsn: str, items: int) -> None:
    """Capture what will be drained, and let nothing else be going on."""
    await contest.capture(dsn, items)
    await contest.server.execute("vacuum analyze", contest.database_of(dsn))
    await contest.server.execute("checkpoint")


def drain(
    processes: int, settings: Settings | None = None
) -> Callable[[Contest], Awaitable[Figures]]:
    """Drain what is due."""

    async def measure(contest: Contest) -> Figures:
        if contest.contender == FLOOR:
            return {"rate": (await floor_itself(contest, processes))["drain"]}
        async with contest.database() as dsn:
            await prepared(contest, dsn, contest.items)
            return await drained(
                contest, dsn, contest.items, processes=processes, settings=settings
            )

    return measure


async def paired(
    contest: Contest,
    measure: Callable[[], Awaitable[Figures]],
    *,
    times: int = PAIRS,
    settings: Settings | None = None,
) -> Figures:
    """Measure a drain some times, each time beside one with nothing beside; return the medians.

    Their ratio is that of a pair: minutes later the machine may be another one.
    """
    pairs = []
    for _ in range(times):
        own = await drain(1, settings)(contest)
        found = await measure()
        pairs.append(found | {"alone": own["rate"], "of_alone": found["rate"] / own["rate"]})
    return {name: median(pair[name] for pair in pairs) for name in pairs[0]}


async def beside(contest: Contest) -> Figures:
    """Drain beside a million that are not due, which came first."""

    async def measure() -> Figures:
        async with contest.database(contest.sized(MILLION)) as dsn:
            await prepared(contest, dsn, contest.items)
            return await drained(contest, dsn, contest.items)

    return await paired(contest, measure)


async def retry(contest: Contest) -> Figures:
    """Drain what fails twice and then succeeds, without a delay."""
    async with contest.database() as dsn:
        items = min(contest.items, max(contest.sized(FAILING), LEAST_FAILING))
        await prepared(contest, dsn, items)
        return await drained(contest, dsn, items, calls=ATTEMPTS, mode="fail")


async def passed(contest: Contest) -> Figures:
    """Let a million pass through a worker, a chunk at a time; returns what it leaves on disk."""
    chunk = min(CHUNK, contest.items)
    captured = 0
    async with contest.database() as dsn, connected(dsn) as connection:
        deadline = time.monotonic() + max(20.0, PASSING_SECONDS * contest.scale)
        async with contest.workers(dsn) as workers:
            while captured < contest.sized(MILLION) and time.monotonic() < deadline:
                await contest.capture(dsn, chunk)
                captured += chunk
                await workers.until(captured - chunk)
            await workers.until(captured)
            await ended(contest, connection, within=CELL_SECONDS)
        tables = await connection.fetchval(SIZE.format("pg_table_size"))
        indexes = await connection.fetchval(SIZE.format("pg_indexes_size"))
    return {"passed": captured, "table_mb": float(tables), "index_mb": float(indexes)}
