"""`make chaos`: plays the scenarios on real processes and tells in a table what became of it all.

`CHAOS_SEED` repeats a run; arguments choose scenarios by a part of their name.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from tests.chaos.act import Report, Stage
from tests.chaos.scenarios import SCENARIOS
from tests.faults.ledger import Ledger

COLUMNS = (
    "scenario",
    "fault",
    "in",
    "completed",
    "dead",
    "live",
    "effects",
    "duplicates",
    "stale",
    "lost",
    "recovery",
    "bound",
    "seconds",
)


@dataclass(frozen=True, slots=True)
class Played:
    """A scenario that was played to its end, or to its problem."""

    name: str
    seconds: float
    report: Report | None = None
    ledger: Ledger | None = None
    problem: str | None = None


async def play(stage: Stage, name: str, seed: str) -> Played:
    """Play one scenario, drain, and make the base check."""
    began = time.monotonic()
    report: Report | None = None
    ledger: Ledger | None = None
    problem: str | None = None
    try:
        async with stage.act(f"{seed}/{name}") as act:
            report = await SCENARIOS[name](act)
            await act.scene.drained(within=60)
            stale = await act.stale()
            ledger = await act.scene.close(stale=stale, max_lost=50)
        if ledger.completed != ledger.accepted:
            problem = "not everything was completed"
        elif report.recovery > report.bound:
            problem = f"recovery took {report.recovery:.1f} s, at most {report.bound:g} s"
    except Exception as error:  # noqa: BLE001 - the other scenarios are played all the same
        problem = f"{type(error).__name__}: {error}"
    return Played(name, time.monotonic() - began, report, ledger, problem)


def row(played: Played) -> list[str]:
    """Return the cells of one scenario."""
    ledger, report = played.ledger, played.report
    counts = (
        [
            str(getattr(ledger, column))
            for column in ("accepted", "completed", "dead", "live", "effects", "duplicates")
        ]
        + [str(ledger.stale), str(ledger.lost)]
        if ledger
        else ["-"] * 8
    )
    measured = [f"{report.recovery:.1f} s", f"{report.bound:g} s"] if report else ["-", "-"]
    fault = report.fault if report else "-"
    return [played.name, fault, *counts, *measured, f"{played.seconds:.0f}"]


async def main(wanted: list[str]) -> int:
    """Play what is wanted, or all; returns the exit status."""
    seed = os.environ.get("CHAOS_SEED") or secrets.token_hex(4)
    console = Console(width=160)
    console.print(f"CHAOS_SEED={seed}")
    names = [name for name in SCENARIOS if not wanted or any(part in name for part in wanted)]
    table = Table(*COLUMNS)
    problems = []
    async with Stage.open() as stage:
        for name in names:
            console.print(f"{name} …")
            played = await play(stage, name, seed)
            table.add_row(*row(played))
            if played.problem:
                problems.append(f"{name}: {played.problem}")
                console.print(f"  {played.problem}", style="red")
    console.print(table)
    for problem in problems:
        console.print(problem, style="red", markup=False)
    console.print(f"repeat it with CHAOS_SEED={seed}")
    return 1 if problems or not names else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
