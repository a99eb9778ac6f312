"""How fast a spool is: appends that wait for the disk, and a drain into PostgreSQL.

    python -m benchmarks.spool --dsn postgresql://… [--items 20000] [--directory .]

Records are appended by 16 threads, each waiting for its own, and by 256 waiters of one event loop.
Prints JSON: items/s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import uvloop

from benchmarks.drain import WARM_UP, settled
from retryd.sources.spool import take
from retryd.spool.drain import drain
from retryd.spool.spool import Spool
from retryd.store.intake import Intake
from retryd.store.pool import open_pool

THREADS = 16
WAITERS = 256


def record(run: int, number: int) -> bytes:
    """Return a record as a publisher spools it."""
    event = {
        "event_type": "bench.noop.failed",
        "payload": {"seq": number, "pad": "x" * 165},
        "event_id": f"{run}-{number}",
        "source": "bench",
    }
    return json.dumps(event, separators=(",", ":")).encode()


def by_threads(directory: Path, records: list[bytes]) -> float:
    """Append with threads that wait for each record; return items/s."""
    spool = Spool(directory)
    left = iter(records)

    def append() -> None:
        for each in left:
            spool.append(each).result()

    threads = [threading.Thread(target=append) for _ in range(THREADS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    spool.close()
    return len(records) / seconds


async def by_waiters(directory: Path, records: list[bytes]) -> float:
    """Append with coroutines that wait for each record; return items/s."""
    spool = Spool(directory)
    left = iter(records)

    async def append() -> None:
        for each in left:
            await asyncio.wrap_future(spool.append(each))

    began = time.perf_counter()
    await asyncio.gather(*(append() for _ in range(WAITERS)))
    seconds = time.perf_counter() - began
    spool.close()
    return len(records) / seconds


async def drained(dsn: str, directory: Path, items: int) -> float:
    """Drain so many records; return items/s."""
    async with open_pool(dsn, size=1, application="retryd/bench") as pool:
        taking = partial(take, Intake(pool))
        warm_up = Spool(directory / "warm-up")
        run = time.time_ns()
        for future in [warm_up.append(record(run, number)) for number in range(WARM_UP)]:
            future.result()
        warm_up.close()
        await drain(directory / "warm-up", taking)
        await settled(pool)
        began = time.perf_counter()
        done = await drain(directory, taking)
        seconds = time.perf_counter() - began
    if done.kept != items:
        raise AssertionError(done)
    return items / seconds


async def run(dsn: str, directory: Path, items: int) -> dict[str, float]:
    """Measure each once; what the appends have left is drained."""
    now = time.time_ns()
    records = [record(now, number) for number in range(2 * items)]
    return {
        "threads": await asyncio.to_thread(by_threads, directory, records[:items]),
        "waiters": await by_waiters(directory, records[items:]),
        "drain": await drained(dsn, directory, 2 * items),
    }


def main() -> None:
    """Run once and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--directory", type=Path, help="on the disk to measure; else /tmp")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="retryd-spool-", dir=arguments.directory) as directory:
        figures = uvloop.run(run(arguments.dsn, Path(directory), arguments.items))
    print(json.dumps({key: round(value) for key, value in figures.items()}))


if __name__ == "__main__":
    main()
