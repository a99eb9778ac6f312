"""JSON whose numbers stay as they were written: no float in between that would change them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

# NUL is in no text that PostgreSQL can hold, and the encoder always writes it as an escape.
_MARK: Final = "\x00"
_MARKED: Final = re.compile(r'"\\u0000([-+0-9.eE]+)\\u0000"')

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


def read_json(text: str) -> Any:
    """Decode JSON, its fractions to WrittenNumber. Raises ValueError."""
    try:
        return json.loads(text, parse_float=WrittenNumber, parse_constant=_refuse)
    except RecursionError as error:
        message = "it is nested too deep"
        raise ValueError(message) from error


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
    raise ValueError(message)
