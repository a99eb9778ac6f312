"""Text to JSON, stricter than the standard library: the first step of a file or a variable."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NoReturn

MAX_BYTES: Final = 1024 * 1024
DIGITS: Final = 400  # more than any number that a key allows, fewer than int() refuses to read


def read_text(path: Path) -> str:
    """Read a small text file; an OSError or a ValueError says why it cannot be read."""
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text: byte {error.start} is wrong") from None


def decode(text: str) -> object:
    """Decode JSON, arrays as tuples; a ValueError says where it is wrong.

    Refused are duplicate keys, NaN and Infinity too. A number of very many digits loses some of
    them, and stays beyond every range.
    """
    try:
        return frozen(
            json.loads(
                text,
                object_pairs_hook=_object,
                parse_constant=_no_number,
                parse_int=lambda digits: int(digits[:DIGITS]),
            )
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno} column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _object(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:80]!r} stands twice in one object: keep one of them")
        found[key] = value
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def frozen(value: object) -> object:
    """Return JSON with its arrays as tuples, as the models want them."""
    match value:
        case dict():
            return {key: frozen(item) for key, item in value.items()}
        case list():
            return tuple(map(frozen, value))
        case _:
            return value
