"""retryd as its users run it: the client with asyncpg, and `retryd run` with everything on.

Attempt log, archive, fencing, HTTP server, logs at info into a file; the harness scrapes the
metrics. The policy of the operations has no delay and no jitter, as the peers have none.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

import retryd
from benchmarks.peers.adapters.protocol import Settings, Step, main, parse

OPERATIONS = "bench.*"
EVENT_TYPE = "bench.noop.failed"
APP = "benchmarks.peers.adapters.retryd_app:app"


class Producer:
    """One connection."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self._connection = connection

    async def one(self, item: dict[str, Any], due: datetime | None) -> object:
        """Capture one."""
        return await retryd.capture(self._connection, EVENT_TYPE, item, not_before=due)

    async def many(self, items: Sequence[dict[str, Any]], due: datetime | None) -> object:
        """Capture many."""
        return await retryd.capture_many(
            self._connection,
            [{"event_type": EVENT_TYPE, "payload": item, "not_before": due} for item in items],
        )


def configuration(settings: Settings, port: int) -> dict[str, Any]:
    """Return the configuration of the worker."""
    policy = {
        "match": [OPERATIONS],
        "initial_delay_seconds": 0,
        "jitter": 0,
        "max_retries": 5,
    }
    return {
        "retry": {**settings, "retry_policies": {"bench": policy}},
        "http": {"port": port},
        "log": {"format": "json", "level": "info"},
    }


def command_of(dsn: str, folder: Path, settings: Settings, port: int, *more: str) -> list[str]:
    """Write the configuration into a folder and return the command of a worker."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.json"
    config.write_text(json.dumps(configuration(settings, port)))
    command = [sys.executable, "-m", "retryd", "run", "--app", APP]
    return [*command, "--config", str(config), "--database-url", dsn, *more]


class Adapter:
    """A worker of one process, or a parent of more."""

    left = """select count(*) from retryd.retry_queue
        where next_attempt_at <= (select retryd.now())"""
    candidates: Sequence[Settings] = (
        {"worker_count": 500, "batch_size": 500},
        {"worker_count": 300, "batch_size": 600},
        {"worker_count": 1000, "batch_size": 2000},
    )
    defaults: Mapping[str, Any] = {}

    def version(self) -> str:
        """Tell the release."""
        return "this checkout"

    async def setup(self, dsn: str) -> None:
        """Migrate, and let a worker of nothing publish its handler and its policy."""
        migrate = [sys.executable, "-m", "retryd", "migrate", "--database-url", dsn]
        publish = command_of(dsn, parse().report, {}, 0, "--until-empty")
        for command in (migrate, publish):
            process = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.DEVNULL
            )
            if await process.wait():
                raise SystemExit(process.returncode)

    @asynccontextmanager
    async def producer(self, dsn: str) -> AsyncIterator[Producer]:
        """Connect."""
        connection = await asyncpg.connect(dsn)
        yield Producer(connection)
        await connection.close()

    async def work(self, dsn: str, _: Step, settings: Settings) -> None:
        """Become `retryd run`; its application reports by itself."""
        arguments = parse()
        os.environ |= {"BENCH_MODE": arguments.mode, "BENCH_REPORT": str(arguments.report)}
        more = ("--processes", str(arguments.processes)) if arguments.processes > 1 else ()
        command = command_of(dsn, arguments.report, settings, arguments.port, *more)
        os.execv(command[0], command)  # noqa: S606 - our own command


if __name__ == "__main__":
    main(Adapter(), uvloop.run)
