"""A finished run: what is written to a file, and the table for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.peers.figures import Spread
from benchmarks.peers.goals import GOALS
from benchmarks.peers.results import Result
from benchmarks.peers.rows import Row

NOTED = {"unfinished"}
"""Figures that are told as a mark, not in a line of their own."""


@dataclass(frozen=True, slots=True)
class Report:
    """Results, and where and of what they are."""

    at: str
    machine: Mapping[str, str]
    postgresql: Mapping[str, str]
    contenders: Mapping[str, Mapping[str, Any]]
    scale: float
    rounds: int
    results: Sequence[Result]

    def json(self) -> str:
        """Write it all."""
        return json.dumps(asdict(self), indent=1)

    def spreads(self) -> dict[tuple[str, str, str], Spread]:
        """Summarize the rounds of each (row, contender, figure)."""
        values: dict[tuple[str, str, str], list[float]] = {}
        for result in self.results:
            for name, figure in result.figures.items():
                key = (result.cell.row, result.cell.contender, name)
                values.setdefault(key, []).append(figure)
        return {key: Spread.of(found) for key, found in values.items()}


def tell(report: Report, wanted: Sequence[Row]) -> bool:
    """Print the table and the goals; returns whether every goal that was measured is reached."""
    print(f"\n{', '.join(f'{name}: {text}' for name, text in report.machine.items())}")
    print(f"PostgreSQL {', '.join(f'{name} {text}' for name, text in report.postgresql.items())}")
    for name, described in report.contenders.items():
        settings = json.dumps(described["candidates"][0])
        print(f"{name}: {described['version']}, {described['runtime']}, {settings}")
    print(f"scale {report.scale:g}, {report.rounds} rounds; median (least to most)")
    spreads = report.spreads()
    for row in wanted:
        print(f"\n{row.title}")
        for name in report.contenders:
            told = [
                f"{figure} {number(spread)}"
                for (at, who, figure), spread in spreads.items()
                if (at, who) == (row.name, name) and figure not in NOTED
            ]
            errors = {
                result.error
                for result in report.results
                if (result.cell.row, result.cell.contender) == (row.name, name) and result.error
            }
            late = spreads.get((row.name, name, "unfinished"))
            mark = "  † did not end in time" if late and late.most else ""
            if told or errors:
                print(f"  {name:<16} {'; '.join([*told, *sorted(errors)])}{mark}")
    print("\ngoals")
    verdicts = [goal.judge({key: at.median for key, at in spreads.items()}) for goal in GOALS]
    for verdict in verdicts:
        print(verdict.line())
    return not any(verdict.missed for verdict in verdicts)


def number(spread: Spread) -> str:
    """Write a spread with as many digits as make sense."""
    form = ",.0f" if spread.median >= 100 else ",.1f"
    return f"{spread.median:{form}} ({spread.least:{form}} to {spread.most:{form}})"
