"""Rows of retryd alone: what other queues have no like of."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import retryd
from benchmarks.peers.contest import Contest, Figures
from benchmarks.peers.drains import paired
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
BUSY: Final = "busy"
BUSY_DUE: Final = 1_000
LOOK: Final = "select * from retryd.look_ahead('bench', $1)"
CLAIM: Final = "select * from retryd.claim_retries('bench', 20, '60 s', $1, $2, $3, $4)"
IN_FLIGHT: Final = 1_000
SCRAPES: Final = 100


async def lanes(contest: Contest) -> Figures:
    """Drain 20,000 of a million due over 20 handlers, one paused; 1 of 101 has a key."""
    first = contest.sized(FIRST)

    async def measure() -> Figures:
        async with contest.workers(dsn, variables={"BENCH_LANES": str(LANES)}) as workers:
            await workers.until(first)
            return {"rate": workers.reports.calls / (time.time() - workers.reports.first)}

    async with contest.database() as dsn, connected(dsn) as connection:
        for number in range(LANES):
            name, match = f"lane-{number}", [f"bench.lane-{number}"]
            await connection.execute("select retryd.register_handler($1, $2)", name, match)
        await fill(connection, contest.sized(MILLION))
        await connection.execute("vacuum analyze")
        await contest.server.execute("checkpoint")
        await connection.execute("select retryd.pause_handler('lane-0')")
        return await paired(contest, measure)


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
    """Count the buffers of a worker's claim of 20, and of its look, beside 200 idle handlers.

    They have retries that are not due; one more handler has some that are.
    """
    names = [BUSY, *(f"idle-{number}" for number in range(IDLE_HANDLERS))]
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
                for name in names[1:]
                for _ in range(WAITING_EACH)
            ],
        )
        due = {"event_type": f"bench.{BUSY}.failed", "not_before": datetime.now(UTC)}
        await retryd.capture_many(connection, [due] * BUSY_DUE)
        await connection.execute("vacuum analyze")
        look = await touched(connection, LOOK, names)
        found = await connection.fetch(f"{LOOK} where due_in <= 0", names)
        lanes = [[row[column] for row in found] for column in range(4)]
        claim = await touched(connection, CLAIM, *lanes)
    return {"buffers": claim, "look_buffers": look}


async def touched(connection: Connection, call: str, *arguments: object) -> float:
    """Count the buffers of a call, once it is planned."""
    explain = f"explain (analyze, buffers, format json) {call}"
    # After five runs PostgreSQL may settle for a generic plan.
    plans = [json.loads(await connection.fetchval(explain, *arguments)) for _ in range(7)]
    blocks = plans[-1][0]["Plan"]
    return float(blocks["Shared Hit Blocks"] + blocks["Shared Read Blocks"])


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
