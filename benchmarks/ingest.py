"""How fast events come in over HTTP: in batches of 100, and one by one over 16 connections.

    python -m benchmarks.ingest --dsn postgresql://… [--items 20000]

The server is `retryd run` with nothing to do but this; the client has a process of its own, and
waits for each answer before it sends the next. Prints JSON: events/s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import aiohttp
import asyncpg
import uvloop

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

BATCH: Final = 100
CONNECTIONS: Final = 16
SINGLES: Final = 0.4
"""How many are sent one by one for each that is sent in batches."""
BEARER: Final = "bench"
PAD: Final = "x" * 165
STRUCTURED: Final = "application/cloudevents+json"
BATCHED: Final = "application/cloudevents-batch+json"


@contextmanager
def server(dsn: str) -> Iterator[str]:
    """Run a server; returns where it takes events."""
    environment = {
        **os.environ,
        "RETRYD_DATABASE_URL": dsn,
        "RETRYD_RETRY__ENABLED": "false",
        "RETRYD_HTTP__PORT": "0",
        "RETRYD_HTTP__TOKENS": json.dumps([BEARER]),
        "RETRYD_HTTP__MAX_QUEUE_DEPTH": "100000000",
        "RETRYD_LOG__FORMAT": "json",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "retryd", "run"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None  # noqa: S101 - it was asked for
    try:
        for line in process.stderr:
            said = json.loads(line)
            if said["event"] == "http_listening":
                wait(said["address"])
                yield f"{said['address']}/api/v1/events"
                break
    finally:
        process.terminate()
        process.communicate()


def wait(address: str) -> None:
    """Wait until it works."""
    for _ in range(100):
        try:
            urllib.request.urlopen(f"{address}/readyz")  # noqa: S310 - an address of ours
        except OSError:
            time.sleep(0.1)
        else:
            return


def event() -> dict[str, Any]:
    """Make an event of about 200 bytes of data."""
    return {
        "specversion": "1.0",
        "id": uuid4().hex,
        "source": "/bench",
        "type": "bench.noop.failed",
        "time": "2026-01-01T00:00:00Z",
        "data": {"seq": 1, "pad": PAD},
    }


async def post(url: str, kind: str, bodies: list[bytes], connections: int) -> float:
    """Post these bodies over so many connections; returns the seconds that it took."""
    left = iter(bodies)
    connector = aiohttp.TCPConnector(limit=connections)
    headers = {"content-type": kind, "authorization": f"Bearer {BEARER}"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def one_by_one() -> None:
            for body in left:
                async with session.post(url, data=body) as answer:
                    if answer.status != 201:
                        raise SystemExit(await answer.text())
                    await answer.read()

        began = time.perf_counter()
        await asyncio.gather(*(one_by_one() for _ in range(connections)))
        return time.perf_counter() - began


async def measured(url: str, items: int) -> dict[str, float]:
    """Measure each once, after a round that does not count."""
    singles = int(items * SINGLES)
    batches = [json.dumps([event() for _ in range(BATCH)]).encode() for _ in range(items // BATCH)]
    events = [json.dumps(event()).encode() for _ in range(singles)]
    warm = [json.dumps(event()).encode() for _ in range(200)]
    await post(url, STRUCTURED, warm, CONNECTIONS)
    return {
        "batches": len(batches) * BATCH / await post(url, BATCHED, batches, 4),
        "singles": len(events) / await post(url, STRUCTURED, events, CONNECTIONS),
    }


def client(pipe: Connection, url: str, items: int) -> None:
    """Be the client's process."""
    pipe.send(uvloop.run(measured(url, items)))


async def clear(dsn: str) -> None:
    """Leave the queue to the next benchmark as it was."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("truncate retryd.retry_queue, retryd.failure_event cascade")
    await connection.close()


def main() -> None:
    """Run once and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--items", type=int, default=20_000)
    arguments = parser.parse_args()
    with server(arguments.dsn) as url:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=client, args=(theirs, url, arguments.items)
        )
        process.start()
        figures = ours.recv()
        process.join()
    uvloop.run(clear(arguments.dsn))
    print(json.dumps({key: round(value) for key, value in figures.items()}))


if __name__ == "__main__":
    main()
