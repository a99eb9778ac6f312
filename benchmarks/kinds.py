"""How fast handlers that reach something work: kind `http` beside a bare client, kind `sql`.

    python -m benchmarks.kinds --dsn postgresql://… [--items 10000]

Both clients post the same bodies to the same receiver, 50 at once; the handler tells of the event
in headers as well. Prints JSON: items/s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import uvloop

from benchmarks.drain import WARM_UP, capture, drain, plan_of, settled
from benchmarks.receiver import serve
from retryd.handlers import open_handler
from retryd.handlers.http import HttpHandlerSettings
from retryd.handlers.sql import SqlHandlerSettings
from retryd.store.lines import open_lines

if TYPE_CHECKING:
    from retryd.ports import OwnedHandler

AT_ONCE = 50
MATCH = ("bench.noop",)


@contextmanager
def receiver() -> Iterator[str]:
    """Run a receiver in a process of its own; returns its address."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/retry"
    finally:
        process.terminate()
        process.join()


class Lent:
    """A worker's means."""

    pooled = False

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    async def pause(self, handler: str, reason: str) -> None:
        """Refuse: no receiver here is ever gone."""
        raise AssertionError(handler, reason)


async def bare(url: str, items: int) -> float:
    """Post so many bodies with a loop around the client; return items/s."""
    # What is captured, as PostgreSQL writes it.
    left = iter([json.dumps({"pad": "x" * 165, "seq": n}).encode() for n in range(items)])
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session:

        async def post() -> None:
            for body in left:
                async with session.post(url, data=body) as response:
                    await response.read()

        began = time.perf_counter()
        await asyncio.gather(*(post() for _ in range(AT_ONCE)))
        return items / (time.perf_counter() - began)


async def measured(dsn: str, handler: OwnedHandler, items: int) -> float:
    """Capture, and drain with this handler; return items/s."""
    plan = plan_of(dsn, AT_ONCE, AT_ONCE)
    async with open_lines(dsn, "bench", size=10) as lines:
        pool = lines.pools[0]
        await lines.shared.publish_handlers([handler.definition])
        await handler.open(Lent(dsn))
        try:
            await capture(pool, WARM_UP)
            await drain(lines, handler, plan, WARM_UP)
            await capture(pool, items)
            await settled(pool)
            return await drain(lines, handler, plan, items)
        finally:
            await handler.close()


async def run(dsn: str, url: str, items: int) -> dict[str, float]:
    """Measure each once."""
    await bare(url, WARM_UP)
    local: dict[str, Any] = {"match": MATCH, "url": url, "allow_cidrs": ("127.0.0.0/8",)}
    http = open_handler("noop", HttpHandlerSettings(**local, connections=AT_ONCE))
    statement = "select (:seq::bigint, :pad::text)"
    sql = open_handler(
        "noop", SqlHandlerSettings(match=MATCH, statement=statement, connections=AT_ONCE // 5)
    )
    return {
        "client": await bare(url, items),
        "http": await measured(dsn, http, items),
        "sql": await measured(dsn, sql, items),
    }


def main() -> None:
    """Run once and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--items", type=int, default=10_000)
    arguments = parser.parse_args()
    with receiver() as url:
        figures = uvloop.run(run(arguments.dsn, url, arguments.items))
    print(json.dumps({key: round(value) for key, value in figures.items()}))


if __name__ == "__main__":
    main()
