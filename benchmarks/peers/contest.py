"""One contender in one cell: its databases, and its program."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.peers.contenders import Contender
from benchmarks.peers.install import MODULES, ROOT
from benchmarks.peers.server import Connection, Server
from benchmarks.peers.workers import ContenderError, Reports, Workers, scrape, stop

LEAST_ITEMS = 5_000
Figures = dict[str, float]


class Contest:
    """A contender on a server: what rows are measured with."""

    def __init__(
        self, contender: Contender, command: Sequence[str], server: Server, folder: Path
    ) -> None:
        self.contender = contender
        self.server = server
        self.scale = 1.0
        self._command = command
        self._folder = folder
        self._templates: set[str] = set()
        self._cells = itertools.count(1)
        self.described: dict[str, Any] = {}

    async def describe(self) -> None:
        """Ask the adapter what it is."""
        self.described = await self._ask("describe")

    def sized(self, size: float) -> int:
        """Return a size at this run's scale."""
        return max(100, round(size * self.scale))

    @property
    def items(self) -> int:
        """How much one drain takes; a trial's is not so small that it measures a start only."""
        return max(self.sized(self.contender.items), min(self.contender.items, LEAST_ITEMS))

    def database_of(self, dsn: str) -> str:
        """Return the name of the database that an address leads to."""
        return urlsplit(dsn).path.lstrip("/")

    @asynccontextmanager
    async def database(self, not_due: int = 0) -> AsyncIterator[str]:
        """Make a database with its schema, and with so many items that are not due."""
        template = f"template_{self.contender.name}_{not_due}"
        if template not in self._templates:
            dsn = await self.server.create(template)
            await self._tell("setup", dsn, "--report", str(self._fresh("setup")))
            if not_due:
                await self.capture(dsn, not_due, "--due-in", "86400")
                await self.server.execute("vacuum analyze", template)
            self._templates.add(template)
        name = f"cell_{self.contender.name}_{next(self._cells)}"
        try:
            yield await self.server.create(name, template)
        finally:
            await self.server.drop(name)

    async def capture(self, dsn: str, items: int, *how: str) -> float:
        """Capture; returns items/s."""
        said = await self._ask("capture", "--dsn", dsn, "--items", str(items), *how)
        return float(said["items"] / said["seconds"])

    async def feed(self, dsn: str, rate: float, seconds: float, *how: str) -> list[float]:
        """Capture at a rate; returns when each item could begin."""
        options = ("--dsn", dsn, "--rate", str(rate), "--seconds", str(seconds))
        said = await self._ask("feed", *options, *how)
        ready: list[float] = said["ready"]
        return ready

    async def left(self, connection: Connection) -> int:
        """Return how many items that are due have not ended."""
        return int(await connection.fetchval(self.described["left"]))

    @asynccontextmanager
    async def workers(
        self,
        dsn: str,
        *how: str,
        mode: str = "count",
        processes: int = 1,
        settings: Mapping[str, Any] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Workers]:
        """Run worker processes, with their metrics scraped where there are any."""
        folder = self._fresh("work")
        log = folder / "log"
        port = free_port()
        options = ("--mode", mode, "--report", str(folder), "--port", str(port), *how)
        told = json.dumps(dict(settings or {}))
        count, many = (1, processes) if self.contender.one_parent else (processes, 1)
        command = (*self._command, "work", "--dsn", dsn, "--settings", told, *options)
        with log.open("wb") as out:
            started = [
                await asyncio.create_subprocess_exec(
                    *(*command, "--processes", str(many)),
                    cwd=ROOT,
                    env=environment(variables),
                    stdout=out,
                    stderr=out,
                )
                for _ in range(count)
            ]
        scraping = asyncio.create_task(scrape(port)) if self.contender.one_parent else None
        try:
            yield Workers(started, Reports(folder), log, port)
        finally:
            if scraping:
                scraping.cancel()
            await asyncio.gather(*map(stop, started))

    async def _ask(self, verb: str, *options: str) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            *(*self._command, verb, *options),
            cwd=ROOT,
            env=environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await process.communicate()
        finally:
            await stop(process)
        if process.returncode:
            words = err.decode(errors="replace").strip().splitlines()
            raise ContenderError(f"{verb}: {words[-1] if words else process.returncode}")
        answer: dict[str, Any] = json.loads(out) if out.strip() else {}
        return answer

    async def _tell(self, verb: str, dsn: str, *options: str) -> None:
        await self._ask(verb, "--dsn", dsn, *options)

    def _fresh(self, name: str) -> Path:
        folder = self._folder / f"{self.contender.name}-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a contender: no database of somebody else.

    Unbuffered, Python writes a long answer with one call, and forgets what a pipe did not take.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RETRYD_", "PG"))
        and name not in {"DATABASE_URL", "PYTHONUNBUFFERED"}
    }
    return {**kept, "BENCH_MODULES": str(MODULES), "NODE_ENV": "production", **(more or {})}


def free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
