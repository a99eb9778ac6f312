"""What is measured: each row is a function of a contest that returns figures by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.peers.captures import bulk, single
from benchmarks.peers.contenders import OURS
from benchmarks.peers.contest import Contest, Figures
from benchmarks.peers.delays import held, pickup
from benchmarks.peers.drains import beside, drain, passed, retry
from benchmarks.peers.own_rows import idle, lanes, resident

DUE_IN_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    name: str
    title: str
    measure: Callable[[Contest], Awaitable[Figures]]
    ours: bool = False
    """Other queues have no like of it."""
    once: bool = False
    """Takes minutes, and is measured in the first round only."""

    def has(self, contender: str) -> bool:
        """Tell whether a contender is measured in this row."""
        return contender == OURS.name or not self.ours


def rows() -> Sequence[Row]:
    """Return all rows, in the order in which they are measured and shown."""
    return (
        Row("bulk", "bulk capture, items/s", bulk),
        Row("single-1", "single capture, 1 connection, items/s", single(1)),
        Row("single-16", "single capture, 16 connections, items/s", single(16)),
        Row("drain-1", "drain, 1 process, items/s", drain(1)),
        Row("drain-2", "drain, 2 processes, items/s", drain(2)),
        Row("beside", "drain beside 1,000,000 not due, items/s", beside),
        Row("retry", "fails twice, then succeeds, items/s", retry),
        Row("pickup-50", "due to started at 50/s, ms", pickup(50)),
        Row("pickup-1000", "due to started at 1,000/s, ms", pickup(1_000)),
        Row(
            "due-50",
            "becomes due to started at 50/s, ms",
            pickup(50, "--due-in", str(DUE_IN_SECONDS)),
        ),
        Row(
            "default-50",
            "due to started at 50/s, all settings at their defaults, ms",
            pickup(50, defaults=True),
        ),
        Row("held", "60 s at 500/s under a held snapshot, then three drains", held),
        Row("lanes", "20,000 of 1,000,000 due over 20 handlers, items/s", lanes, ours=True),
        Row("idle", "claim with 200 idle handlers, buffers", idle, ours=True),
        Row("resident", "1,000 in flight, 100 scrapes, MB", resident, ours=True),
        Row("size", "on disk after 1,000,000 have passed, MB", passed, once=True),
    )
