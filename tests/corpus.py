"""Bodies and texts on the edge, from tests/data: what every door takes or refuses, to the digit."""

from __future__ import annotations

import json
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
BODIES = tomllib.loads((DATA / "bodies.toml").read_text())


def taken() -> dict[str, tuple[bytes, bytes]]:
    """Return what is taken, by name: as it comes in, and as it is delivered."""
    bodies = dict(BODIES["taken"])
    changed = bodies.pop("as")
    same = {name: (written(body), written(body)) for name, body in bodies.items()}
    return same | {name: (written(came), written(went)) for name, (came, went) in changed.items()}


def refused() -> dict[str, bytes]:
    """Return what is refused, by name."""
    return {name: written(body) for name, body in BODIES["refused"].items()}


def strings() -> list[str]:
    """Return texts that make trouble somewhere, as JSON."""
    lines = (DATA / "strings.txt").read_text().split("\n")
    return [line for line in lines if line and not line.startswith("#")]


def written(body: str | list[tuple[str, int]] | dict[str, str]) -> bytes:
    """Write a body as it is sent."""
    match body:
        case str():
            return body.encode()
        case dict():
            return bytes.fromhex(body["bytes"])
        case _:
            return "".join(text * times for text, times in body).encode()


def exact(text: bytes | str) -> Any:
    """Decode JSON, each number to its digits written out, so that two are equal or are not."""
    return json.loads(text, parse_float=digits, parse_int=digits)


def digits(number: str) -> tuple[str, str]:
    """Write a number without exponent; no text of JSON is equal to it."""
    plain = format(Decimal(number), "f")
    return "number", plain if Decimal(number) else plain.removeprefix("-")
