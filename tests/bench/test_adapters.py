"""The adapters of the floor and of retryd do what the harness asks, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from benchmarks.peers.contest import environment
from benchmarks.peers.install import ROOT
from benchmarks.peers.workers import Reports
from tests.postgres import Database
from tests.waiting import until

ADAPTERS = ("benchmarks.floor_rows", "benchmarks.peers.adapters.retryd")


async def ask(adapter: str, verb: str, database: Database, folder: Path, *options: str) -> Any:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", adapter, verb, "--dsn", database.dsn, "--report", str(folder)),
        *options,
        cwd=ROOT,
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return json.loads(out) if out else None


@asynccontextmanager
async def working(
    adapter: str, database: Database, folder: Path, mode: str
) -> AsyncIterator[Reports]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", adapter, "work", "--dsn", database.dsn, "--mode", mode),
        *("--report", str(folder)),
        cwd=ROOT,
        env=environment(),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Reports(folder)
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


async def left(adapter: str, database: Database, folder: Path) -> int:
    described = await ask(adapter, "describe", database, folder)
    connection = await asyncpg.connect(database.dsn)
    try:
        return int(await connection.fetchval(described["left"]))
    finally:
        await connection.close()


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_what_is_captured_is_left_until_it_is_drained(
    adapter: str, plain_database: Database, tmp_path: Path
) -> None:
    await ask(adapter, "setup", plain_database, tmp_path)
    said = await ask(adapter, "capture", plain_database, tmp_path, "--items", "30")
    await ask(adapter, "capture", plain_database, tmp_path, "--items", "20", "--due-in", "3600")
    assert said["items"] == 30
    assert await left(adapter, plain_database, tmp_path) == 30
    async with working(adapter, plain_database, tmp_path / "work", "fail") as reports:
        await until(lambda: reports.look() == 90)
    assert await left(adapter, plain_database, tmp_path) == 0


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_what_is_fed_is_started_once_it_is_due(
    adapter: str, plain_database: Database, tmp_path: Path
) -> None:
    await ask(adapter, "setup", plain_database, tmp_path)
    async with working(adapter, plain_database, tmp_path / "work", "times") as reports:
        options = ("--rate", "100", "--seconds", "0.2", "--due-in", "0.5")
        said = await ask(adapter, "feed", plain_database, tmp_path, *options)
        await until(lambda: reports.look() == 20)
    started = dict(reports.starts)
    assert started.keys() == set(range(20))
    assert all(started[seq] >= due for seq, due in enumerate(said["ready"]))
