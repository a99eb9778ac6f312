"""Rows of retryd alone: what other queues have no like of."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

import retryd
from benchmarks.peers.contest import Contest, scraped
from retryd.store.schema import migrate

LANES: Final = 20
KEYS: Final = 100
ONE_KEYED_IN: Final = 100  # of each key one is due at a time, and nearly all are to be due
CHUNK: Final = 10_000
MILLION: Final = 1_000_000
FIRST: Final = 20_000
IDLE_HANDLERS: Final = 200
IN_FLIGHT: Final = 1_000
SCRAPES: Final = 100


async def lanes(contest: Contest) -> dict[str, float]:
    """Drain the first 20,000 of a million due over 20 handlers, one paused; 1 of 100 has a key."""
    variables = {"BENCH_LANES": str(LANES)}
    async with contest.database() as dsn:
        connection = await asyncpg.connect(dsn)
        try:
            for number in range(LANES):
                name, match = f"lane-{number}", [f"bench.lane-{number}"]
                await connection.execute("select retryd.register_handler($1, $2)", name, match)
            await fill(connection, contest.sized(MILLION))
            await connection.execute("vacuum analyze")
            await connection.execute("select retryd.pause_handler('lane-0', 'bench', 'benchmark')")
            wanted = contest.sized(FIRST)
            async with contest.workers(dsn, variables=variables) as workers:
                await workers.until(1)
                await workers.until(wanted)
                # What was reported last tells how many calls there had been by then.
                calls, now = workers.reports.calls, await clock()
            return {"rate": calls / (now - workers.reports.first)}
        finally:
            await connection.close()


async def clock() -> float:
    """Return the time that reports are given in."""
    return datetime.now(UTC).timestamp()


async def fill(connection: asyncpg.Connection[asyncpg.Record], items: int) -> None:
    """Capture so many, due now, over all lanes."""
    now = datetime.now(UTC)

    def event(seq: int) -> dict[str, Any]:
        keyed = seq % ONE_KEYED_IN == 0
        return {
            "event_type": f"bench.lane-{seq % LANES}.failed",
            "payload": {"seq": seq, "pad": "x" * 165},
            "not_before": now,
            "ordering_key": f"key-{seq // ONE_KEYED_IN % KEYS}" if keyed else None,
        }

    for at in range(0, items, CHUNK):
        await retryd.capture_many(
            connection, [event(at + n) for n in range(min(CHUNK, items - at))]
        )


async def idle(contest: Contest) -> dict[str, float]:
    """Count the buffers of a claim over 200 handlers that have nothing due."""
    dsn = await contest.server.create("cell_idle")
    await migrate(dsn)
    connection = await asyncpg.connect(dsn)
    try:
        names = [f"idle-{number}" for number in range(IDLE_HANDLERS)]
        for name in names:
            await connection.execute(
                "select retryd.register_handler($1, $2)", name, [f"bench.{name}"]
            )
        await retryd.capture_many(
            connection,
            [
                {
                    "event_type": f"bench.{name}.failed",
                    "not_before": datetime(2100, 1, 1, tzinfo=UTC),
                }
                for name in names
                for _ in range(10)
            ],
        )
        await connection.execute("vacuum analyze")
        claim = "select * from retryd.acquire_retry_batch('bench', 100, '60 s', $1)"
        plan: Any = None
        for _ in range(7):  # after five runs PostgreSQL may settle for a generic plan
            text = await connection.fetchval(
                f"explain (analyze, buffers, format json) {claim}", names
            )
            plan = json.loads(text)[0]["Plan"]
        return {"buffers": float(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])}
    finally:
        await connection.close()
        await contest.server.drop("cell_idle")


async def resident(contest: Contest) -> dict[str, float]:
    """Hold 1,000 retries in flight, scrape 100 times, and look at the memory."""
    async with contest.database() as dsn:
        await contest.capture(dsn, IN_FLIGHT)
        settings = {
            "worker_count": IN_FLIGHT,
            "batch_size": IN_FLIGHT,
            "shutdown_timeout_seconds": 0,
        }
        async with contest.workers(dsn, mode="hold", settings=settings) as workers:
            await workers.until(IN_FLIGHT)
            for _ in range(SCRAPES):
                await asyncio.to_thread(scraped, workers.port)
            return {"megabytes": workers.peak_megabytes()}
