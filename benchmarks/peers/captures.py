"""Rows of capturing: how fast items come in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from benchmarks.peers.contenders import FLOOR
from benchmarks.peers.contest import Contest, Figures
from benchmarks.peers.drains import floor_itself

BULK: Final = 50_000
SINGLES: Final = 2_000


async def bulk(contest: Contest) -> Figures:
    """Capture many with the fastest API, on one connection."""
    if contest.contender == FLOOR:
        return {"rate": (await floor_itself(contest, 1))["bulk"]}
    async with contest.database() as dsn:
        return {"rate": await contest.capture(dsn, contest.sized(BULK))}


def single(connections: int) -> Callable[[Contest], Awaitable[Figures]]:
    """Capture one by one."""

    async def measure(contest: Contest) -> Figures:
        async with contest.database() as dsn:
            items = contest.sized(SINGLES) * min(connections, 4)
            how = ("--singly", "--connections", str(connections))
            return {"rate": await contest.capture(dsn, items, *how)}

    return measure
