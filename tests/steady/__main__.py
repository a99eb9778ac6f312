"""`make steady`: lets retryd run at a constant backlog, and tells whether anything grows.

    python -m tests.steady [--minutes 10]

Prints a line for each thing that is judged; writes all samples and a picture into build/steady.
Exit status 1 when something grew, was lost, or was done twice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from dataclasses import asdict
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from benchmarks.peers.machine import machine
from tests.postgres import open_directory
from tests.steady.judge import Verdict, judge
from tests.steady.plan import lasting
from tests.steady.plot import plot
from tests.steady.run import Record, Steady, open_database
from tests.steady.worker import ROOT

FOLDER = ROOT / "build" / "steady"
SHOWN_WRONG = 20


async def play(minutes: float) -> Record:
    """Run it on a server of its own, which is gone afterwards."""
    plan = lasting(minutes)
    with open_directory() as folder:
        async with open_database(plan, folder) as database:
            return await Steady(plan, database, folder).run()


def tell(record: Record, verdicts: list[Verdict]) -> None:
    """Print what was judged, and how it flowed."""
    console = Console(width=120)
    table = Table("", "second third", "last third", "at most", "")
    for each in verdicts:
        numbers = (f"{number:,.1f}" for number in (each.second, each.last, each.allowed))
        table.add_row(each.what, *numbers, "" if each.holds else "GREW")
    console.print(table)
    late = record.samples[len(record.samples) // 3 :]
    p50, p99 = (statistics.median(each.pickup_ms[index] for each in late) for index in (0, 1))
    console.print(
        f"{record.captured} captured beside {record.plan.backlog} not due,"
        f" {record.attempts} attempts, {record.replayed} replayed; {record.plan.days} days,"
        f" {record.partitions_dropped} partitions dropped; due to start"
        f" p50 {p50:.0f} ms, p99 {p99:.0f} ms (medians of the looks);"
        f" oldest snapshot {max(each.snapshot_seconds for each in late):.1f} s"
    )
    for problem in record.wrong[:SHOWN_WRONG]:
        console.print(problem, style="red", markup=False)


def main() -> int:
    """Run, print, write; returns the exit status."""
    parser = argparse.ArgumentParser(prog="tests.steady", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    record = asyncio.run(play(parser.parse_args().minutes))
    verdicts = judge(record)
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    data, picture = (FOLDER / f"steady-{stamp}.{ending}" for ending in ("json", "svg"))
    said = {"machine": machine(), **asdict(record), "verdicts": list(map(asdict, verdicts))}
    data.write_text(json.dumps(said, indent=1))
    picture.write_text(plot(record))
    tell(record, verdicts)
    print(f"{data.relative_to(ROOT)}, {picture.relative_to(ROOT)}")  # noqa: T201
    return 0 if all(each.holds for each in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
