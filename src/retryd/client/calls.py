"""The two SQL calls of a producer, written for the driver that will send them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from retryd.client.event import encode_batch, said

CAPTURE: Final = "select * from retryd.capture_failure({})"
CAPTURE_MANY: Final = "select * from retryd.capture_failures(cast({} as jsonb))"
TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {"payload": "jsonb", "attributes": "jsonb", "priority": "int", "not_before": "timestamptz"}
)

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
    arguments = said(event)
    return Call(_capture(tuple(arguments)), tuple(map(_text, arguments.values())))


def call_of_many(events: Iterable[Mapping[str, Any]]) -> Call:
    """Make the call that captures many events or none. Raises Refused with the bad one's index."""
    return Call(CAPTURE_MANY, (encode_batch(events),))


@lru_cache
def _capture(names: tuple[str, ...]) -> str:
    """Write the call with these arguments and no others: each costs on both sides."""
    arguments = (f"{name} => cast({{}} as {TYPES.get(name, 'text')})" for name in names)
    return CAPTURE.format(", ".join(arguments))


@lru_cache
def _written(statement: str, values: int, paramstyle: str) -> str:
    placeholder = PLACEHOLDERS[paramstyle]
    return statement.format(*(f"cast({placeholder(n)} as text)" for n in range(1, values + 1)))


def _text(value: str | int | None) -> str | None:
    return int.__repr__(value) if isinstance(value, int) else value
