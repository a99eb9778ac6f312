"""Takers of records, for drains without PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from retryd.domain.errors import DatabaseUnavailable
from retryd.spool.drain import Drained, drain


class Taker:
    """Remembers what it was given, and refuses what has a reason in `refusals`."""

    def __init__(self, refusals: dict[bytes, str] | None = None) -> None:
        self.refusals = refusals or {}
        self.taken: list[bytes] = []
        self.calls: list[int] = []

    async def __call__(self, records: Sequence[bytes]) -> list[str | None]:
        """Take these records."""
        self.calls.append(len(records))
        self.taken += (record for record in records if record not in self.refusals)
        return [self.refusals.get(record) for record in records]


async def away(records: Sequence[bytes]) -> list[str | None]:
    """Be a PostgreSQL that is away."""
    raise DatabaseUnavailable


async def drained(directory: Path) -> list[bytes]:
    """Drain a directory, and return what was in it."""
    taker = Taker()
    assert await drain(directory, taker) == Drained(len(taker.taken))
    return taker.taken
