"""What follows from an outcome: made by `decide`, written by the settler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from retryd.domain.outcome import Outcome
from retryd.domain.retry import Retry

Reason: TypeAlias = Literal[
    "exhausted", "rejected", "expired", "undecodable", "worker_lost", "snoozed_out", "loop"
]


@dataclass(frozen=True, slots=True)
class Complete:
    """Done: it worked."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Done: it is not wanted any more."""

    why: str


@dataclass(frozen=True, slots=True)
class Reschedule:
    """One more attempt, `delay` seconds from now."""

    delay: float


@dataclass(frozen=True, slots=True)
class Bury:
    """To the dead letters, for this reason."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Release:
    """Give the attempt back; due again in `delay` seconds, counted as a snooze or not."""

    delay: float = 0.0
    snooze: bool = False


Decision: TypeAlias = Complete | Cancelled | Reschedule | Bury | Release


class Decided(NamedTuple):
    """One line of a settlement; a tuple, for there are many.

    `outcome` is None when no attempt was made; `seconds` is how long it ran, None if nobody knows.
    """

    retry: Retry
    outcome: Outcome | None
    decision: Decision
    seconds: float | None = None
