"""The cells of a run, a line of JSON each as soon as it is measured, so that a run can resume."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement: of a row, for a contender, in a round, at a scale."""

    row: str
    contender: str
    round: int
    scale: float


@dataclass(frozen=True, slots=True)
class Result:
    """What a cell gave: figures by name, or why there are none."""

    cell: Cell
    figures: Mapping[str, float]
    error: str | None = None

    def line(self) -> str:
        """Write it as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, line: str) -> Result:
        """Read what `line` wrote."""
        said = json.loads(line)
        return cls(Cell(**said["cell"]), said["figures"], said["error"])


class Unfinished:
    """The file of results whose run has not ended."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def done(self) -> dict[Cell, Result]:
        """Return what need not be measured again; a cell that failed is tried again.

        A line that an interruption cut off is passed over.
        """
        found = {}
        for line in self._lines():
            try:
                result = Result.read(line)
            except (ValueError, KeyError, TypeError):
                continue
            if result.error is None:
                found[result.cell] = result
        return found

    def add(self, result: Result) -> None:
        """Keep a result."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            file.write(result.line() + "\n")

    def forget(self, cells: Iterable[Cell]) -> None:
        """Drop cells that a finished run has told; those of other runs stay."""
        if not self._path.exists():
            return
        told = set(cells)
        kept = [result.line() for cell, result in self.done().items() if cell not in told]
        self._path.write_text("".join(f"{line}\n" for line in kept))

    def _lines(self) -> list[str]:
        return self._path.read_text().splitlines() if self._path.exists() else []
