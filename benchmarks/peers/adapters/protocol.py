"""What every adapter in Python speaks: the verbs, and how a worker reports what it does.

    python -m benchmarks.peers.adapters.NAME VERB --dsn … [options]

Only the standard library, since each adapter runs in the environment of its queue. `describe`,
`capture` and `feed` print one JSON object. `work` appends lines of JSON to a file of its process in
the folder `--report`, and works until SIGTERM. Times are `time.time()`: all run on one machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

AT_ONCE = 1_000  # items that one call of a bulk API gets
FEEDS_A_SECOND = 50  # beyond that rate, a feed captures several with one call
ATTEMPTS = 3  # a handler that fails does so until its third
TICK_SECONDS = 0.01


def payload(seq: int) -> dict[str, Any]:
    """Return the payload of an item: about 200 bytes of JSON."""
    return {"seq": seq, "pad": "x" * 165}


class Producer(Protocol):
    """An open connection, or a pool, that captures."""

    async def one(self, item: dict[str, Any], due: datetime | None) -> object:
        """Capture one item with the API for one; due now, or at a time."""

    async def many(self, items: Sequence[dict[str, Any]], due: datetime | None) -> object:
        """Capture many items with the fastest API that there is."""


Settings = Mapping[str, Any]


class Adapter(Protocol):
    """A queue, by its public API."""

    left: str
    """SQL: how many items that are due have not ended for good."""

    candidates: Sequence[Settings]
    """Settings that were tried; the first is the best, and is taken."""

    defaults: Settings
    """Settings of somebody who sets nothing."""

    def version(self) -> str:
        """Tell what is measured."""

    async def setup(self, dsn: str) -> None:
        """Make the schema in an empty database."""

    def producer(self, dsn: str) -> AbstractAsyncContextManager[Producer]:
        """Open a producer."""

    async def work(self, dsn: str, step: Step, settings: Settings) -> None:
        """Run a worker whose handler calls `step`; does not return."""


class FailedOnPurposeError(Exception):
    """The handler fails, and wants to be called again at once."""


@dataclass(slots=True)
class Report:
    """What this process tells of its calls."""

    path: Path
    calls: int = 0
    first: float = 0.0
    starts: list[tuple[int, float]] = field(default_factory=list)

    def begin(self) -> None:
        """Write from a thread of its own, for a busy event loop would be late."""
        self.path.mkdir(parents=True, exist_ok=True)
        # Line buffered and appended: the reader sees whole lines.
        out = (self.path / f"{os.getpid()}.jsonl").open("a", buffering=1)

        def write() -> None:
            told = written = 0
            while True:
                time.sleep(TICK_SECONDS)
                if self.calls != told:
                    told = self.calls
                    starts = self.starts[written:]
                    written += len(starts)
                    line = {"calls": told, "first": self.first, "starts": starts}
                    out.write(json.dumps(line) + "\n")

        threading.Thread(target=write, daemon=True).start()


Step = Callable[[object, Any], None]
"""What a handler calls with the id of the item and its payload, as the queue gives them."""


def step_of(mode: str, report: Report) -> Step:
    """Return what the handler does: `count`, `times` (and tell when each began), or `fail`."""
    failures: dict[object, int] = {}

    def count(_: object, __: Any) -> None:
        if not report.calls:
            report.first = time.time()
        report.calls += 1

    def times(key: object, given: Any) -> None:
        began = time.time()
        body = given() if callable(given) else given
        if not isinstance(body, dict):
            body = json.loads(body)
        report.starts.append((body["seq"], began))
        count(key, given)

    def fail(key: object, given: Any) -> None:
        count(key, given)
        failed = failures[key] = failures.get(key, 0) + 1
        if failed < ATTEMPTS:
            raise FailedOnPurposeError

    return {"count": count, "times": times, "fail": fail, "hold": count}[mode]


async def capture(adapter: Adapter, arguments: argparse.Namespace) -> dict[str, float]:
    """Capture so many items, and return how long it took."""
    due = datetime.now(UTC) + timedelta(seconds=arguments.due_in) if arguments.due_in else None
    items: int = arguments.items

    async def singly(producer: Producer, share: range) -> None:
        for seq in share:
            await producer.one(payload(seq), due)

    async def in_bulk(producer: Producer, share: range) -> None:
        for at in range(share.start, share.stop, AT_ONCE):
            await producer.many(
                [payload(seq) for seq in range(at, min(at + AT_ONCE, share.stop))], due
            )

    way = singly if arguments.singly else in_bulk
    connections: int = arguments.connections
    share = items // connections
    async with AsyncExitStack() as stack:
        producers = [
            await stack.enter_async_context(adapter.producer(arguments.dsn))
            for _ in range(connections)
        ]
        if arguments.singly:  # what is prepared once per connection is prepared before
            for producer in producers:
                await producer.one(payload(0), due)
        started = time.perf_counter()
        await asyncio.gather(
            *(
                way(producer, range(n * share, (n + 1) * share))
                for n, producer in enumerate(producers)
            )
        )
        return {"items": share * connections, "seconds": time.perf_counter() - started}


async def feed(adapter: Adapter, arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Capture at a steady rate; return when each item could begin: was captured, or was due."""
    rate: float = arguments.rate
    together = max(1, round(rate / FEEDS_A_SECOND))
    ready: list[float] = []
    async with adapter.producer(arguments.dsn) as producer:
        started = time.time()
        for at in range(0, int(rate * arguments.seconds), together):
            await asyncio.sleep(max(0.0, started + at / rate - time.time()))
            due = None
            if arguments.due_in:
                due = datetime.now(UTC) + timedelta(seconds=arguments.due_in)
            if together == 1:
                await producer.one(payload(at), due)
            else:
                await producer.many([payload(at + n) for n in range(together)], due)
            ready += [due.timestamp() if due else time.time()] * together
    return {"ready": ready}


async def work(adapter: Adapter, arguments: argparse.Namespace) -> None:
    """Work until SIGTERM, which ends the process where it stands."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    report = Report(arguments.report)
    report.begin()
    settings = adapter.defaults if arguments.defaults else adapter.candidates[0]
    settings = {**settings, **json.loads(arguments.settings)}
    await adapter.work(arguments.dsn, step_of(arguments.mode, report), settings)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=("describe", "setup", "capture", "feed", "work"))
    parser.add_argument("--dsn", default="")
    parser.add_argument("--items", type=int, default=0)
    parser.add_argument("--singly", action="store_true")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--due-in", type=float, default=0.0)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--mode", choices=("count", "times", "fail", "hold"), default="count")
    parser.add_argument("--report", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--defaults", action="store_true")
    parser.add_argument("--settings", default="{}")
    return parser.parse_args()


def describe(adapter: Adapter) -> dict[str, Any]:
    """Tell what the harness has to know."""
    return {
        "version": adapter.version(),
        "runtime": f"Python {sys.version.split()[0]}",
        "left": adapter.left,
        "candidates": list(adapter.candidates),
        "defaults": adapter.defaults,
    }


def main(adapter: Adapter, run: Callable[[Coroutine[Any, Any, Any]], Any] = asyncio.run) -> None:
    """Do what the command line says, with the event loop that the queue does best on."""
    arguments = parse()
    match arguments.verb:
        case "describe":
            print(json.dumps(describe(adapter)))
        case "setup":
            run(adapter.setup(arguments.dsn))
        case "capture":
            print(json.dumps(run(capture(adapter, arguments))))
        case "feed":
            print(json.dumps(run(feed(adapter, arguments))))
        case _:
            run(work(adapter, arguments))
