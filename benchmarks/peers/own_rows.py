"""Rows of retryd alone: what other queues have no like of."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import retryd
from benchmarks.peers.contest import Contest, Figures
from benchmarks.peers.server import Connection, connected
from benchmarks.peers.workers import scraped

LANES: Final = 20
KEYS: Final = 100
# Of each key one is due at a time, and nearly all are to be due; no multiple of the lanes.
ONE_KEYED_IN: Final = 101
CHUNK: Final = 10_000
MILLION: Final = 1_000_000
FIRST: Final = 20_000
IDLE_HANDLERS: Final = 200
WAITING_EACH: Final = 10
CLAIM: Final = """explain (analyze, buffers, format json)
    select * from retryd.acquire_retry_batch('bench', 100, '60 s', $1)"""
IN_FLIGHT: Final = 1_000
SCRAPES: Final = 100


async def lanes(contest: Contest) -> Figures:
    """Drain the first 20,000 of a million due over 20 handlers, one paused; 1 of 101 has a key."""
    async with contest.database() as dsn, connected(dsn) as connection:
        for number in range(LANES):
            name, match = f"lane-{number}", [f"bench.lane-{number}"]
            await connection.execute("select retryd.register_handler($1, $2)", name, match)
        await fill(connection, contest.sized(MILLION))
        await connection.execute("vacuum analyze")
        await connection.execute("select retryd.pause_handler('lane-0')")
        async with contest.workers(dsn, variables={"BENCH_LANES": str(LANES)}) as workers:
            await workers.until(contest.sized(FIRST))
            seconds = time.time() - workers.reports.first
            return {"rate": workers.reports.calls / seconds}


async def fill(connection: Connection, items: int) -> None:
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


async def idle(contest: Contest) -> Figures:
    """Count the buffers of a claim over 200 handlers that have nothing due."""
    names = [f"idle-{number}" for number in range(IDLE_HANDLERS)]
    later = datetime.now(UTC) + timedelta(days=1)
    async with contest.database() as dsn, connected(dsn) as connection:
        for name in names:
            await connection.execute(
                "select retryd.register_handler($1, $2)", name, [f"bench.{name}"]
            )
        await retryd.capture_many(
            connection,
            [
                {"event_type": f"bench.{name}.failed", "not_before": later}
                for name in names
                for _ in range(WAITING_EACH)
            ],
        )
        await connection.execute("vacuum analyze")
        # After five runs PostgreSQL may settle for a generic plan.
        plans = [json.loads(await connection.fetchval(CLAIM, names)) for _ in range(7)]
    (last,) = plans[-1]
    blocks = last["Plan"]
    return {"buffers": float(blocks["Shared Hit Blocks"] + blocks["Shared Read Blocks"])}


async def resident(contest: Contest) -> Figures:
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
