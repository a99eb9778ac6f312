"""The two SQL calls of a producer, written for the driver that will send them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from retryd.client.event import checked, encode_batch

CAPTURE: Final = (
    "select * from retryd.capture_failure({}, cast({} as jsonb), {}, {}, {}, {}, {}, {},"
    " cast({} as int), {}, cast({} as timestamptz), cast({} as jsonb))"
)
CAPTURE_MANY: Final = "select * from retryd.capture_failures(cast({} as jsonb))"

# The paramstyles of PEP 249 and the one of PostgreSQL itself: the n-th placeholder, from 1.
PLACEHOLDERS: Final[Mapping[str, Callable[[int], str]]] = MappingProxyType(
    {
        "numeric_dollar": lambda n: f"${n}",
        "pyformat": lambda n: f"%(p{n})s",
        "format": lambda _: "%s",
        "qmark": lambda _: "?",
        "numeric": lambda n: f":{n}",
        "named": lambda n: f":p{n}",
    }
)
BY_NAME: Final = frozenset({"pyformat", "named"})


@dataclass(frozen=True, slots=True)
class Call:
    """A statement whose `{}` are its values.

    Every value goes as text: the connection may have codecs of its owner for all other types.
    """

    statement: str
    values: tuple[str | None, ...]

    def written(self, paramstyle: str) -> str:
        """Return the statement with the placeholders of this paramstyle."""
        return _written(self.statement, len(self.values), paramstyle)

    def parameters(self, paramstyle: str) -> tuple[str | None, ...] | dict[str, str | None]:
        """Return the values as this paramstyle wants them."""
        if paramstyle not in BY_NAME:
            return self.values
        return {f"p{n}": value for n, value in enumerate(self.values, 1)}


def call_of(event: Mapping[str, Any]) -> Call:
    """Make the call that captures an event. Raises Refused."""
    return Call(CAPTURE, tuple(map(_text, checked(event).values())))


def call_of_many(events: Iterable[Mapping[str, Any]]) -> Call:
    """Make the call that captures many events or none. Raises Refused with the bad one's index."""
    return Call(CAPTURE_MANY, (encode_batch(events),))


@lru_cache
def _written(statement: str, values: int, paramstyle: str) -> str:
    placeholder = PLACEHOLDERS[paramstyle]
    return statement.format(*(f"cast({placeholder(n)} as text)" for n in range(1, values + 1)))


def _text(value: str | int | None) -> str | None:
    return int.__repr__(value) if isinstance(value, int) else value
