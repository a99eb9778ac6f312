"""`make growth`: measure retryd beside more and more retries that are not due.

    python -m benchmarks.growth [--rows 10000,100000,1000000,10000000]

One private PostgreSQL, a new database for each number of rows. Prints a table in Markdown; writes
it, all figures and a picture into build/growth. Ten million rows take some 10 GB of disk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from datetime import UTC, datetime

from benchmarks.growth import measures
from benchmarks.growth.load import load
from benchmarks.growth.table import plot, table
from benchmarks.peers.install import ROOT
from benchmarks.peers.machine import machine
from benchmarks.peers.server import SETTINGS, Server, connected, open_server
from retryd.store.schema import migrate

FOLDER = ROOT / "build" / "growth"
ROWS = "10000,100000,1000000,10000000"


def parse() -> list[int]:
    """Read the command line: how many rows, in turn."""
    parser = argparse.ArgumentParser(prog="benchmarks.growth", description=__doc__)
    parser.add_argument("--rows", default=ROWS)
    return sorted({int(number) for number in parser.parse_args().rows.split(",")})


async def measure(server: Server, rows: int) -> dict[str, float]:
    """Measure everything beside so many; what changes the queue comes last."""
    name = f"growth_{rows}"
    dsn = await server.create(name)
    await migrate(dsn)
    async with connected(dsn) as connection:
        began = time.perf_counter()
        await load(connection, rows)
        print(f"{rows:,} rows loaded in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        told = await measures.sizes(connection, rows)
        told |= await measures.claims(connection)
        told |= await measures.reads(connection, rows)
        told |= await measures.upkeep(connection)
    told |= await measures.migrated(dsn)
    told |= await measures.captured(dsn)
    told |= await measures.drained(dsn)
    await server.drop(name)
    return told


async def main() -> None:
    """Measure each number of rows, print, write."""
    measured: dict[int, dict[str, float]] = {}
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    data, page, picture = (FOLDER / f"growth-{stamp}.{ending}" for ending in ("json", "md", "svg"))
    async with open_server() as server:
        said = {"machine": machine(), "postgresql": {"version": await server.version(), **SETTINGS}}
        for rows in parse():
            measured[rows] = await measure(server, rows)
            # After each, for the next may take long.
            data.write_text(json.dumps({**said, "measured": measured}, indent=1))
            page.write_text(table(measured))
            picture.write_text(plot(measured))
    print(table(measured))
    print(", ".join(str(path.relative_to(ROOT)) for path in (data, page, picture)))


if __name__ == "__main__":
    asyncio.run(main())
