"""Run the floor and retryd in turn on one private PostgreSQL and print both.

    python -m benchmarks [--items 20000] [--rounds 5]

Prints a line per figure, median with least and most, the ratio round by round, the versions.
RETRYD_BENCH_DATABASE_URL names another, empty database; the schema is made and left there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from retryd.embedded import EmbeddedPostgres
from retryd.store.schema import migrate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "4GB", "jit": "off"}
FLOOR = Path(__file__).with_name("floor.py")


@asynccontextmanager
async def open_server() -> AsyncIterator[str]:
    """Yield the address of a server of our own, or the one that is named."""
    if named := os.environ.get("RETRYD_BENCH_DATABASE_URL"):
        yield named
        return
    with open_directory() as directory:
        async with EmbeddedPostgres(directory / "postgres", SETTINGS) as server:
            yield server.dsn


@contextmanager
def open_directory() -> Iterator[Path]:
    """Make a directory that the server's account may enter too."""
    with tempfile.TemporaryDirectory(prefix="retryd-bench-") as directory:
        path = Path(directory)
        path.chmod(0o711)
        yield path


async def figures_of(*command: str | Path) -> dict[str, float]:
    """Run one benchmark in a process of its own and return what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    if process.returncode:
        raise SystemExit(process.returncode)
    figures: dict[str, float] = json.loads(printed)
    return figures


def line(name: str, values: Sequence[float], form: str = ",.0f") -> str:
    """Return a figure as median, least and most."""
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{name:<24} {middle:>10{form}}   ({least:{form}} to {most:{form}})"


async def main() -> None:
    """Run, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    items = f"--items={arguments.items}"
    async with open_server() as dsn:
        await migrate(dsn)
        connection = await asyncpg.connect(dsn)
        server = await connection.fetchval("show server_version")
        await connection.close()
        floors, ours, kinds, spools, doors = [], [], [], [], []
        for _ in range(arguments.rounds):
            floors.append(await figures_of(FLOOR, f"--dsn={dsn}", items, "--repeat=1"))
            ours.append(await figures_of("-m", "benchmarks.drain", f"--dsn={dsn}", items))
            kinds.append(await figures_of("-m", "benchmarks.kinds", f"--dsn={dsn}"))
            spools.append(await figures_of("-m", "benchmarks.spool", f"--dsn={dsn}"))
            doors.append(await figures_of("-m", "benchmarks.ingest", f"--dsn={dsn}"))
    ratios = [mine["drain"] / floor["drain"] for mine, floor in zip(ours, floors, strict=True)]
    print(f"PostgreSQL {server}, Python {platform.python_version()}, {os.cpu_count()} processors")
    print(f"{arguments.items} items, {arguments.rounds} rounds; items/s: median (least to most)")
    print(line("floor, bulk insert", [floor["bulk"] for floor in floors]))
    print(line("retryd, bulk capture", [mine["capture"] for mine in ours]))
    print(line("floor, drain", [floor["drain"] for floor in floors]))
    print(line("retryd, drain", [mine["drain"] for mine in ours]))
    print(line("drain, retryd / floor", ratios, ".2f"))
    print(line("bare client of HTTP", [each["client"] for each in kinds]))
    print(line("retryd, kind http", [each["http"] for each in kinds]))
    print(line("http, retryd / client", [each["http"] / each["client"] for each in kinds], ".2f"))
    print(line("retryd, kind sql", [each["sql"] for each in kinds]))
    print(line("spool, 16 threads", [each["threads"] for each in spools]))
    print(line("spool, 256 waiters", [each["waiters"] for each in spools]))
    print(line("spool, drain", [each["drain"] for each in spools]))
    print(line("events, batches of 100", [each["batches"] for each in doors]))
    print(line("events, 16 connections", [each["singles"] for each in doors]))


asyncio.run(main())
