"""How long a steady state lasts and what flows through it; the short form is the same, small."""

from __future__ import annotations

from dataclasses import dataclass

HANDLERS = ("mail", "hook", "report", "stock", "index", "sync")
KEYED = "stock"
"""The handler whose retries have ordering keys: they wait for one another."""
FIRST_DELAY_SECONDS = 0.2
LONG_DAY_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Times are in seconds of the wall clock.

    A day of retryd's is over when as much came in as does in `day_seconds`: on a slow machine the
    days are longer, and none has more in it than another.
    """

    days: int
    day_seconds: float
    every_seconds: float
    """How often it is looked at."""
    backlog: int
    """Retries that wait all the time and are never due."""
    rate: int
    """Failures that come in per second."""
    naptime: str
    """How often PostgreSQL's autovacuum looks at the database."""

    @property
    def half_a_day(self) -> int:
        """How many failures come in until the clock goes on by half a day."""
        return int(self.rate * self.day_seconds / 2)


def lasting(minutes: float) -> Plan:
    """Return the plan of `make steady`; from ten minutes on autovacuum is as it is by default."""
    days = round(minutes * 60 / LONG_DAY_SECONDS)
    naptime = f"{min(60, max(1, round(minutes * 6)))}s"
    return Plan(days, LONG_DAY_SECONDS, 5, backlog=20_000, rate=300, naptime=naptime)


SHORT = Plan(6, 4, 0.5, backlog=2_000, rate=200, naptime="1s")
"""Autovacuum looks as much more often as there is less time."""
