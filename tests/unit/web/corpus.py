"""Requests that are refused: tests/data/cloudevents.json."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLACE = Path(__file__).parents[2] / "data" / "cloudevents.json"


@dataclass(frozen=True)
class Case:
    """A request, the status that it gets, and index and pointer of what is told to be wrong."""

    name: str
    headers: dict[str, str]
    body: bytes
    status: int
    errors: list[list[Any]]


def cases() -> list[Case]:
    """Read all of them."""
    return [
        Case(
            each["name"],
            each["headers"],
            base64.b64decode(each["body_base64"])
            if "body_base64" in each
            else each["body"].encode(),
            each["status"],
            each.get("errors", []),
        )
        for each in json.loads(PLACE.read_text())
    ]
