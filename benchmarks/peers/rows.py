"""What is measured: each row is a function of a contest that returns figures by name."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

from benchmarks.peers.contenders import FLOOR
from benchmarks.peers.contest import CELL_SECONDS, POLL_SECONDS, Contest
from benchmarks.peers.figures import percentile
from benchmarks.peers.install import ROOT
from benchmarks.peers.server import Connection, connected

Figures = dict[str, float]
Who = Literal["all", "no floor", "retryd"]

MILLION: Final = 1_000_000
SINGLES: Final = 2_000
WARM_SECONDS: Final = 2.0
PICKUP_SECONDS: Final = 20.0
HELD_SECONDS: Final = 60.0
HELD_RATE: Final = 500.0
DUE_IN_SECONDS: Final = 3.0
FAILING: Final = 5_000
LEAST_FAILING: Final = 2_000
ATTEMPTS: Final = 3
LATE_SECONDS: Final = 20.0
PASSING_SECONDS: Final = 300.0
CHUNK: Final = 20_000


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    name: str
    title: str
    measure: Callable[[Contest], Awaitable[Figures]]
    who: Who = "all"
    once: bool = False
    """Takes minutes, and is measured in the first round only."""

    def has(self, contender: str) -> bool:
        """Tell whether a contender is measured in this row."""
        if self.who == "retryd":
            return contender == "retryd"
        return self.who == "all" or contender != FLOOR.name


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


async def bulk(contest: Contest) -> Figures:
    """Capture many with the fastest API, on one connection."""
    if contest.contender == FLOOR:
        return {"rate": (await floor_itself(contest, 1))["bulk"]}
    async with contest.database() as dsn:
        return {"rate": await contest.capture(dsn, contest.sized(50_000))}


def single(connections: int) -> Callable[[Contest], Awaitable[Figures]]:
    """Capture one by one."""

    async def measure(contest: Contest) -> Figures:
        async with contest.database() as dsn:
            items = contest.sized(SINGLES) * min(connections, 4)
            how = ("--singly", "--connections", str(connections))
            return {"rate": await contest.capture(dsn, items, *how)}

    return measure


async def ended(contest: Contest, connection: Connection, within: float) -> int:
    """Wait until the database says that nothing is left; returns what is left when time is up."""
    deadline = time.monotonic() + within
    while (left := await contest.left(connection)) > 0:
        if time.monotonic() > deadline:
            return left
        await asyncio.sleep(POLL_SECONDS)
    return 0


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
        left = await ended(contest, connection, within=CELL_SECONDS - spent if done else 0)
        seconds = time.time() - workers.reports.first
        thousands = max(1, workers.reports.calls - before) / 1000
        return {
            "rate": (items - left) / seconds,
            "unfinished": float(left),
            "worker_ms": (workers.cpu_seconds() - ours) * 1000 / thousands,
            "postgres_ms": (contest.server.cpu_seconds() - theirs) * 1000 / thousands,
            "megabytes": workers.peak_megabytes(),
        }


async def prepared(contest: Contest, dsn: str, items: int) -> None:
    """Capture what will be drained, and let nothing else be going on."""
    await contest.capture(dsn, items)
    await contest.server.execute("vacuum analyze", contest.database_of(dsn))
    await contest.server.execute("checkpoint")


def drain(processes: int) -> Callable[[Contest], Awaitable[Figures]]:
    """Drain what is due."""

    async def measure(contest: Contest) -> Figures:
        if contest.contender == FLOOR:
            return {"rate": (await floor_itself(contest, processes))["drain"]}
        async with contest.database() as dsn:
            await prepared(contest, dsn, contest.items)
            return await drained(contest, dsn, contest.items, processes=processes)

    return measure


async def beside(contest: Contest) -> Figures:
    """Drain beside a million that are not due, which came first."""
    async with contest.database(contest.sized(MILLION)) as dsn:
        await prepared(contest, dsn, contest.items)
        return await drained(contest, dsn, contest.items)


async def retry(contest: Contest) -> Figures:
    """Drain what fails twice and then succeeds, without a delay."""
    async with contest.database() as dsn:
        items = min(contest.items, max(contest.sized(FAILING), LEAST_FAILING))
        await prepared(contest, dsn, items)
        return await drained(contest, dsn, items, calls=ATTEMPTS, mode="fail")


async def picked_up(
    contest: Contest, dsn: str, rate: float, seconds: float, *how: str, defaults: bool = False
) -> list[float]:
    """Feed a worker at a rate; returns ms from ready to started, in the order of the feed."""
    options = ("--defaults",) if defaults else ()
    async with (
        connected(dsn) as connection,
        contest.workers(dsn, *options, mode="times") as workers,
    ):
        await contest.capture(dsn, 1)
        await workers.until(1)
        ready = await contest.feed(dsn, rate, seconds + WARM_SECONDS, *how)
        await workers.until(1 + len(ready), within=LATE_SECONDS)
        await ended(contest, connection, within=LATE_SECONDS)
        started = dict(reversed(workers.reports.starts))
    warm = int(rate * WARM_SECONDS)
    # What was not started counts with all the time that it was waited for.
    late = time.time()
    return [(started.get(n, late) - ready[n]) * 1000 for n in range(warm, len(ready))]


def pickup(
    rate: float, *how: str, defaults: bool = False
) -> Callable[[Contest], Awaitable[Figures]]:
    """Measure due → started at a steady rate."""

    async def measure(contest: Contest) -> Figures:
        seconds = max(3.0, PICKUP_SECONDS * contest.scale)
        async with contest.database() as dsn:
            delays = await picked_up(contest, dsn, rate, seconds, *how, defaults=defaults)
        return {f"p{share}": percentile(delays, share / 100) for share in (50, 95, 99)}

    return measure


@asynccontextmanager
async def held_snapshot(dsn: str) -> AsyncIterator[None]:
    """Hold a snapshot, as somebody's long report does: vacuum can remove nothing newer."""
    async with connected(dsn) as connection, connection.transaction(isolation="repeatable_read"):
        await connection.fetchval("select count(*) from pg_class")
        yield


async def held(contest: Contest) -> Figures:
    """Feed for a minute under a held snapshot, then drain three times."""
    seconds = max(6.0, HELD_SECONDS * contest.scale)
    async with contest.database() as dsn, held_snapshot(dsn):
        delays = await picked_up(contest, dsn, HELD_RATE, seconds)
        sixth = len(delays) // 6
        figures = {
            "first_p99": percentile(delays[:sixth], 0.99),
            "last_p99": percentile(delays[-sixth:], 0.99),
        }
        for number in (1, 2, 3):
            await contest.capture(dsn, contest.items)
            await contest.server.execute("analyze", contest.database_of(dsn))
            settings = contest.contender.held
            found = await drained(contest, dsn, contest.items, settings=settings)
            figures[f"drain_{number}"] = found["rate"]
    return figures


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


SIZE = """
    select sum({}(oid)) / 1024 / 1024 from pg_class
    where relkind = 'r' and relnamespace not in
        ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
"""


def rows() -> Sequence[Row]:
    """Return all rows, in the order in which they are measured and shown."""
    from benchmarks.peers import own_rows  # noqa: PLC0415 - it measures with what stands above

    return (
        Row("bulk", "bulk capture, items/s", bulk),
        Row("single-1", "single capture, 1 connection, items/s", single(1)),
        Row("single-16", "single capture, 16 connections, items/s", single(16)),
        Row("drain-1", "drain, 1 process, items/s", drain(1)),
        Row("drain-2", "drain, 2 processes, items/s", drain(2)),
        Row("beside", "drain beside 1,000,000 not due, items/s", beside),
        Row("retry", "fails twice, then succeeds, items/s", retry),
        Row("pickup-50", "due to started at 50/s, ms", pickup(50)),
        Row("pickup-1000", "due to started at 1,000/s, ms", pickup(1_000)),
        Row(
            "due-50",
            "becomes due to started at 50/s, ms",
            pickup(50, "--due-in", str(DUE_IN_SECONDS)),
        ),
        Row(
            "default-50",
            "due to started at 50/s, all settings at their defaults, ms",
            pickup(50, defaults=True),
        ),
        Row("held", "60 s at 500/s under a held snapshot, then three drains", held),
        Row("lanes", "20,000 of 1,000,000 due over 20 handlers, items/s", own_rows.lanes, "retryd"),
        Row("idle", "claim with 200 idle handlers, buffers", own_rows.idle, "retryd"),
        Row("resident", "1,000 in flight, 100 scrapes, MB", own_rows.resident, "retryd"),
        Row("size", "on disk after 1,000,000 have passed, MB", passed, once=True),
    )
