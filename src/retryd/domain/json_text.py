"""JSON whose numbers stay as they were written: no float in between that would change them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn, TypeAlias

# NUL is in no text that PostgreSQL can hold, and the encoder always writes it as an escape.
_MARK: Final = "\x00"
_SHOWN: Final = 100
_MARKED: Final = re.compile(r'"\\u0000([-+0-9.eE]+)\\u0000"')

_Trail: TypeAlias = "tuple[_Trail, str | int] | None"

encode_plain: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode
"""Encodes what is of plain types and does not contain itself, compactly and in no time."""


@dataclass(frozen=True, slots=True)
class WrittenNumber:
    """A number of JSON with a fraction or an exponent, as somebody wrote it."""

    text: str

    def digits(self) -> tuple[int, int] | None:
        """Count its digits before and behind the point, written out; None: beyond counting."""
        try:
            _, digits, exponent = Decimal(self.text).as_tuple()
        except InvalidOperation:
            return None
        assert isinstance(exponent, int)  # noqa: S101 - JSON has neither infinity nor NaN
        whole = len(digits) + exponent if any(digits) else 1
        return max(whole, 1), max(-exponent, 0)


class NotJson(ValueError):
    """It has what other readers take for JSON: NaN, Infinity."""


class BeyondReading(ValueError):
    """It is JSON that cannot be read; `pointer` (RFC 6901) leads to what is wrong, where known."""

    def __init__(self, message: str, pointer: str = "") -> None:
        super().__init__(message)
        self.pointer = pointer


def read_json(text: str) -> Any:
    """Decode JSON, its fractions to WrittenNumber. Raises ValueError, BeyondReading for some."""
    with _reading():
        return json.loads(text, parse_float=WrittenNumber, parse_constant=_refuse)


def read_json_strictly(text: str) -> Any:
    """Decode JSON as `read_json` does, but refuse an object that has a key twice.

    Which of the two counts is up to who reads it, so that two readers see two values.
    """
    twice: list[tuple[dict[str, Any], str]] = []

    def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice.append((found, _first_twice(key for key, _ in pairs)))
        return found

    with _reading():
        root = json.loads(
            text, parse_float=WrittenNumber, parse_constant=_refuse, object_pairs_hook=object_of
        )
    if twice:
        where, key = twice[-1]  # the outermost of them is the last to be complete
        raise BeyondReading(f"it has the key {key[:_SHOWN]!r} twice", _pointer_to(root, where))
    return root


def pointer_of(steps: Iterable[str | int]) -> str:
    """Write the way to a value as a JSON pointer (RFC 6901)."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except RecursionError as error:
        message = "it is nested too deep"
        raise BeyondReading(message) from error
    except (json.JSONDecodeError, NotJson):
        raise
    except ValueError as error:  # an integer of thousands of digits
        message = "it has a number of thousands of digits: give text"
        raise BeyondReading(message) from error


def _first_twice(keys: Iterable[str]) -> str:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            return key
        seen.add(key)
    raise AssertionError  # the caller has counted them


def _pointer_to(root: object, wanted: object) -> str:
    """Find a container by its identity; an empty pointer if it is no longer there."""
    todo: list[tuple[object, _Trail]] = [(root, None)]
    while todo:
        value, trail = todo.pop()
        if value is wanted:
            return pointer_of(_steps(trail))
        match value:
            case dict():
                todo += [(child, (trail, step)) for step, child in value.items()]
            case list():
                todo += [(child, (trail, step)) for step, child in enumerate(value)]
    return ""


def _steps(trail: _Trail) -> list[str | int]:
    """Return the way to a value, from the root; keys may be long, and are not told whole."""
    steps: list[str | int] = []
    while trail:
        trail, step = trail
        steps.append(step[:_SHOWN] if isinstance(step, str) else step)
    return steps[::-1]


def write_json(value: object, default: Callable[[Any], Any] | None = None, **layout: Any) -> str:
    """Encode as `json.dumps` with this layout does, a WrittenNumber to what it was.

    No text in it may contain NUL.
    """

    def other(item: object) -> Any:
        if isinstance(item, WrittenNumber):
            return f"{_MARK}{item.text}{_MARK}"
        if default is not None:
            return default(item)
        message = f"{type(item).__name__} is no type of JSON"
        raise TypeError(message)

    text = json.dumps(value, default=other, allow_nan=False, **layout)
    return _MARKED.sub(r"\1", text) if "\\u0000" in text else text


def _refuse(constant: str) -> NoReturn:
    message = f"{constant} is no number of JSON"
    raise NotJson(message)
