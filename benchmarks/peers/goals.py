"""The ratios that retryd has to reach, and whether it does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from benchmarks.peers.contenders import FLOOR, OURS, PEERS

Table = Mapping[tuple[str, str, str], float]
"""The median of each (row, contender, figure)."""

PYTHON = frozenset(peer.name for peer in PEERS if peer.runtime == "python")
ALL = frozenset(peer.name for peer in PEERS)


class NotMeasuredError(Exception):
    """A figure is missing."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A number with its limit."""

    text: str
    measured: Callable[[Table], float]
    limit: float
    at_least: bool = True

    def judge(self, table: Table) -> Verdict:
        """Tell whether it is reached."""
        try:
            value = self.measured(table)
        except NotMeasuredError:
            return Verdict(self, None)
        return Verdict(self, value)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal, and what was measured; None where a figure is missing."""

    goal: Goal
    value: float | None

    @property
    def missed(self) -> bool:
        """It was measured, and is not reached."""
        if self.value is None:
            return False
        goal = self.goal
        return self.value < goal.limit if goal.at_least else self.value > goal.limit

    def line(self) -> str:
        """Write it for people."""
        sign = "≥" if self.goal.at_least else "≤"
        said = "not measured" if self.value is None else f"{self.value:,.2f}"
        mark = "MISSED" if self.missed else "      " if self.value is None else "reached"
        return f"{mark:<8} {said:>12} {sign} {self.goal.limit:<6g} {self.goal.text}"


def value(table: Table, row: str, contender: str, figure: str = "rate") -> float:
    """Return a figure; raises NotMeasuredError."""
    try:
        return table[row, contender, figure]
    except KeyError:
        raise NotMeasuredError(row, contender, figure) from None


def best(table: Table, row: str, among: Iterable[str], figure: str, *, least: bool) -> float:
    """Return the best figure of these contenders; raises NotMeasuredError when none has one."""
    found = [table[row, name, figure] for name in among if (row, name, figure) in table]
    if not found:
        raise NotMeasuredError(row, figure)
    return min(found) if least else max(found)


def against(row: str, among: Iterable[str]) -> Callable[[Table], float]:
    """Return retryd's rate as a multiple of the best of these."""
    return lambda table: value(table, row, OURS.name) / best(table, row, among, "rate", least=False)


def against_own(row: str) -> Callable[[Table], float]:
    """Return a rate of retryd as a multiple of its drain with nothing beside, made with it."""
    return plain(row, "of_alone")


def slower(row: str, figure: str) -> Callable[[Table], float]:
    """Return retryd's delay as a multiple of the shortest of the peers."""
    return lambda table: (
        value(table, row, OURS.name, figure) / best(table, row, ALL, figure, least=True)
    )


def plain(row: str, figure: str) -> Callable[[Table], float]:
    """Return a figure of retryd as it is."""
    return lambda table: value(table, row, OURS.name, figure)


def held_growth(table: Table) -> float:
    """Return how much the p99 grew under a held snapshot."""
    first = value(table, "held", OURS.name, "first_p99")
    return value(table, "held", OURS.name, "last_p99") / first


FLOORS = (FLOOR.name,)
GOALS = (
    Goal("drain, 1 process: of the best peer", against("drain-1", ALL), 1),
    Goal("drain, 1 process: of the best Python peer", against("drain-1", PYTHON), 1.8),
    Goal("drain, 1 process: of the floor", against("drain-1", FLOORS), 0.6),
    Goal("drain, 2 processes: of the best peer", against("drain-2", ALL), 1.1),
    Goal("drain, 2 processes: of the best Python peer", against("drain-2", PYTHON), 1.7),
    Goal("drain beside 1,000,000 not due: of its own drain", against_own("beside"), 0.95),
    Goal("20,000 of 1,000,000 due, 20 handlers: of its own drain", against_own("lanes"), 0.85),
    Goal("claim with 200 idle handlers, buffers", plain("idle", "buffers"), 200, at_least=False),
    Goal("fails twice, then succeeds: of the best peer", against("retry", ALL), 1.3),
    Goal("fails twice, then succeeds: of the floor", against("retry", FLOORS), 0.4),
    *(
        Goal(f"{text}, {figure}: of the best peer", slower(row, figure), 1, at_least=False)
        for row, text in (
            ("pickup-50", "due to started at 50/s"),
            ("due-50", "becomes due to started at 50/s"),
        )
        for figure in ("p50", "p99")
    ),
    Goal("held snapshot: p99, last over first 10 s", held_growth, 1.3, at_least=False),
    Goal("held snapshot: third drain of its own, same claims", against_own("held"), 0.75),
    Goal("bulk capture: of the best peer", against("bulk", ALL), 1.75),
    Goal("single capture, 1 connection: of the best peer", against("single-1", ALL), 1.3),
    Goal("single capture, 1 connection: of a bare INSERT", against("single-1", FLOORS), 0.5),
    Goal("single capture, 16 connections: of a bare INSERT", against("single-16", FLOORS), 0.7),
    Goal("worker CPU per 1,000, ms", plain("drain-1", "worker_ms"), 40, at_least=False),
    Goal("worker RSS, 1,000 in flight, MB", plain("resident", "megabytes"), 90, at_least=False),
)
