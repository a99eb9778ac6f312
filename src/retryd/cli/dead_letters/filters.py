"""Which dead letters a command of `retryd dlq` means: the options, and how they are read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import typer

from retryd.cli.database import Asking
from retryd.cli.options import check_operation

if TYPE_CHECKING:
    from retryd.store.reads import Filters, Row

Cause: TypeAlias = Literal[
    "exhausted", "rejected", "expired", "undecodable", "worker_lost", "snoozed_out", "loop"
]

CauseOption: TypeAlias = Annotated[Cause | None, typer.Option("--reason", help="Why they died.")]
All: TypeAlias = Annotated[
    bool, typer.Option("--all", help="Every open one, where no filter says which.")
]

AGE: Final = re.compile(r"(?P<number>[0-9]{1,6})(?P<unit>[smhdw])")
UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
OPEN: Final = ("pending", "failed")


def read_age(text: str) -> timedelta:
    """Read an age such as 7d."""
    found = AGE.fullmatch(text)
    if not found:
        message = f"{text!r} is no age; give a number and one of s, m, h, d, w, such as 7d"
        raise typer.BadParameter(message)
    return timedelta(**{UNITS[found["unit"]]: int(found["number"])})


OlderThan: TypeAlias = Annotated[
    timedelta | None,
    typer.Option(parser=read_age, metavar="AGE", help="Died longer ago, such as 12h or 7d."),
]


def statuses_of(word: str) -> list[str] | None:
    """Return the statuses that a word of --status means, None for all."""
    match word:
        case "open":
            return [*OPEN]
        case "all":
            return None
    return [word]


@dataclass(frozen=True, slots=True)
class Matching:
    """What the filters found: how many, in which groups, and when the last of them died.

    What dies later is not meant, though it matches: nobody has seen it.
    """

    groups: list[Row]
    count: int
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Choice:
    """The filters of a command."""

    status: str | None
    reason: str | None
    handler: str | None
    operation: str | None
    older_than: timedelta | None

    def __post_init__(self) -> None:
        check_operation(self.operation)

    @property
    def narrow(self) -> bool:
        """Whether any filter was given."""
        given = (self.status, self.reason, self.handler, self.operation, self.older_than)
        return any(each is not None for each in given)

    def check_meant(self, *, every: bool) -> None:
        """Refuse to change everything unless that was said, and what contradicts itself."""
        if not (self.narrow or every):
            message = "no filter says which dead letters; --all means every open one"
            raise typer.BadParameter(message)
        if self.narrow and every:
            message = "--all takes no filter beside it; leave one of them out"
            raise typer.BadParameter(message)

    def filters(self) -> Filters:
        """Return the filters as the reads take them; what is being retried is never meant."""
        return {
            "statuses": statuses_of(self.status or "open") or [*OPEN, "resolved"],
            "reason": self.reason,
            "handler": self.handler,
            "operation": self.operation,
        }

    def matching(self, ask: Asking) -> Matching:
        """Count what matches now."""
        groups = ask(
            lambda store: store.reads.count_dead_letters(self.older_than, **self.filters())
        )
        count = sum(group["count"] for group in groups)
        return Matching(groups, count, max((g["last_dead_at"] for g in groups), default=None))
