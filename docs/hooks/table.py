"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table; a bar inside a cell does not end it."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cell(text) for text in line)} |\n" for line in lines) + "\n"


def cell(text: str) -> str:
    """Write one cell."""
    return " ".join(text.split()).replace("|", "\\|")
