"""Rows of delays: how long it takes from due to started, and what a held snapshot does to it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from benchmarks.peers.contest import Contest, Figures
from benchmarks.peers.drains import drained, ended, paired
from benchmarks.peers.figures import percentile
from benchmarks.peers.server import connected

WARM_SECONDS: Final = 2.0
PICKUP_SECONDS: Final = 20.0
HELD_SECONDS: Final = 60.0
HELD_RATE: Final = 500.0
LATE_SECONDS: Final = 20.0


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
        settings = contest.contender.held

        async def measure() -> Figures:
            await contest.capture(dsn, contest.items)
            await contest.server.execute("analyze", contest.database_of(dsn))
            return await drained(contest, dsn, contest.items, settings=settings)

        for number in (1, 2):
            figures[f"drain_{number}"] = (await measure())["rate"]
        third = await paired(contest, measure, times=1, settings=settings)
    kept = {"drain_3": third["rate"], "alone": third["alone"], "of_alone": third["of_alone"]}
    return figures | kept
