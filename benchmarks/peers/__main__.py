"""`make bench-peers`: measure all contenders in turn on one server, print, plot, judge.

    python -m benchmarks.peers [--rows drain-1,retry] [--peers pgqueuer,pg-boss|none]
        [--rounds 3] [--scale 1] [--fresh] [--tune]

The floor and retryd always take part. What was measured is kept line by line in
build/bench/unfinished.jsonl, so the same command goes on after an interruption (`--fresh` does
not). Exit status 1 when a goal is missed, or a peer could not be installed.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.peers.contenders import FLOOR, OURS, PEERS, Contender
from benchmarks.peers.contest import Contest
from benchmarks.peers.install import ROOT, NotInstalledError, command_of
from benchmarks.peers.machine import machine
from benchmarks.peers.plot import plot
from benchmarks.peers.report import Report, tell
from benchmarks.peers.results import Cell, Result, Unfinished
from benchmarks.peers.rows import Row, rows
from benchmarks.peers.server import SETTINGS, Server, open_server
from benchmarks.peers.tune import tune

BENCH = ROOT / "build" / "bench"
CELL_SECONDS = 1_800.0  # beyond that, something hangs


def chosen(names: str, all_names: Sequence[str]) -> list[str]:
    """Return the names of a list with commas, in their usual order; an empty list means all."""
    if names == "none":
        return []
    wanted = {name for name in names.split(",") if name}
    if unknown := sorted(wanted - set(all_names)):
        raise SystemExit(f"unknown: {', '.join(unknown)}; there are {', '.join(all_names)}")
    return [name for name in all_names if name in wanted or not wanted]


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.peers", description=__doc__)
    parser.add_argument("--rows", default="")
    parser.add_argument("--peers", default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--tune", action="store_true")
    return parser.parse_args()


def installed(contenders: Sequence[Contender]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Install; returns commands by name, and what could not be had with its reason."""
    commands, missing = {}, {}
    for contender in contenders:
        try:
            commands[contender.name] = command_of(contender)
        except NotInstalledError as error:
            missing[contender.name] = str(error)
    return commands, missing


async def measure(row: Row, contest: Contest, cell: Cell) -> Result:
    """Measure a cell; an error is a result too, for the others go on."""
    try:
        async with asyncio.timeout(CELL_SECONDS):
            return Result(cell, await row.measure(contest))
    except Exception as error:  # noqa: BLE001 - whatever a contender does wrong is told in the table
        return Result(cell, {}, f"{type(error).__name__}: {error}")


def plan(
    wanted: Sequence[Row], names: Sequence[str], arguments: argparse.Namespace
) -> list[tuple[Row, Cell]]:
    """Return all cells: round after round, and in each row one contender after the other."""
    return [
        (row, Cell(row.name, name, number, arguments.scale))
        for number in range(1, arguments.rounds + 1)
        for row in wanted
        if number == 1 or not row.once
        for name in names
        if row.has(name)
    ]


async def run(arguments: argparse.Namespace) -> bool:
    """Install, measure, tell; returns whether all goals that were measured are reached."""
    everything = rows()
    names = chosen(arguments.rows, [row.name for row in everything])
    wanted = [row for row in everything if row.name in names]
    peers = chosen(arguments.peers, [peer.name for peer in PEERS])
    contenders = [FLOOR, OURS, *(peer for peer in PEERS if peer.name in peers)]
    commands, missing = installed(contenders)
    for name, reason in missing.items():
        print(f"{name} is left out: {reason}", file=sys.stderr)
    unfinished = Unfinished(BENCH / "unfinished.jsonl")
    if arguments.fresh:
        unfinished.forget(unfinished.done())
    async with open_server() as server:
        with tempfile.TemporaryDirectory(prefix="retryd-peers-") as folder:
            contests = {}
            for contender in contenders:
                if command := commands.get(contender.name):
                    contest = Contest(contender, command, server, Path(folder))
                    contest.scale = arguments.scale
                    await contest.describe()
                    contests[contender.name] = contest
            if arguments.tune:
                await tune([contests[name] for name in peers if name in contests])
                return True
            results = await measured(plan(wanted, list(contests), arguments), contests, unfinished)
            report = await report_of(server, contests, arguments, results)
    return told(report, wanted, unfinished) and not missing


async def measured(
    cells: Sequence[tuple[Row, Cell]], contests: dict[str, Contest], unfinished: Unfinished
) -> list[Result]:
    """Measure what is not done; returns all results."""
    done = unfinished.done()
    results = []
    for number, (row, cell) in enumerate(cells, 1):
        result = done.get(cell)
        if result is None:
            result = await measure(row, contests[cell.contender], cell)
            unfinished.add(result)
        said = result.error or ", ".join(f"{k} {v:,.1f}" for k, v in result.figures.items())
        title = f"{cell.row}, {cell.contender}, round {cell.round}"
        print(f"[{number}/{len(cells)}] {title}: {said}", file=sys.stderr, flush=True)
        results.append(result)
    return results


async def report_of(
    server: Server,
    contests: dict[str, Contest],
    arguments: argparse.Namespace,
    results: list[Result],
) -> Report:
    """Put what was measured beside where and of what."""
    return Report(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine(),
        postgresql={"server_version": await server.version(), **SETTINGS},
        contenders={name: contest.described for name, contest in contests.items()},
        scale=arguments.scale,
        rounds=arguments.rounds,
        results=results,
    )


def told(report: Report, wanted: Sequence[Row], unfinished: Unfinished) -> bool:
    """Print, write and plot; returns whether every goal that was measured is reached."""
    stamp = report.at.replace(":", "").replace("-", "")[:15]
    BENCH.mkdir(parents=True, exist_ok=True)
    data, picture = (BENCH / f"peers-{stamp}.{ending}" for ending in ("json", "svg"))
    data.write_text(report.json())
    picture.write_text(plot(report, wanted))
    reached = tell(report, wanted)
    print(f"\n{data.relative_to(ROOT)}, {picture.relative_to(ROOT)}")
    unfinished.forget(result.cell for result in report.results)
    return reached


if __name__ == "__main__":
    raise SystemExit(not asyncio.run(run(parse())))
