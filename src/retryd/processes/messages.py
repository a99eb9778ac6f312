"""What parent and child tell each other over their link: a line of JSON each."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LONGEST_LINE = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Welcome:
    """The parent's only line: which child this is, where its metrics go, how fast it has to end."""

    number: int
    metrics: Path
    end_within_seconds: float

    def line(self) -> bytes:
        """Return it as a line."""
        return json.dumps({**asdict(self), "metrics": str(self.metrics)}).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Welcome:
        """Read the line."""
        told = json.loads(line)
        return cls(told["number"], Path(told["metrics"]), told["end_within_seconds"])


@dataclass(frozen=True, slots=True)
class Report:
    """How a child is."""

    ready: bool
    reasons: tuple[str, ...]
    state: dict[str, Any]

    def line(self) -> bytes:
        """Return it as a line; what JSON does not know is told as text."""
        return json.dumps(asdict(self), default=str).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Report:
        """Read a line."""
        told = json.loads(line)
        return cls(told["ready"], tuple(told["reasons"]), told["state"])
