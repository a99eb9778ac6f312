"""What commands print: one JSON document, or tables and facts for people.

On a terminal rich lays them out and colours the words of the life. Elsewhere columns are as wide
as what stands in them, nothing is cut and nothing is coloured, so that other programs can read it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import typer

from retryd.domain.json_text import write_json

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

COLOURS: Final = {
    **dict.fromkeys(("completed", "success", "done", "resolved"), "green"),
    **dict.fromkeys(("dead", "buried", "failed", "failure", "rejected", "critical"), "red"),
    **dict.fromkeys(("lost", "retrying", "replayed", "warning", "parked", "snoozed"), "yellow"),
    **dict.fromkeys(("processing", "live"), "cyan"),
    **dict.fromkeys(("cancelled", "info", "-"), "dim"),
}
# Columns that give way first where the terminal is narrow.
PROSE: Final = frozenset({"error", "detail", "what", "by"})
# More of an error would hide the other rows; `show` and --json have all of it.
PROSE_CHARACTERS: Final = 200
# What a payload or an error brings along must not steer the terminal.
CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def on_terminal() -> bool:
    """Tell whether a person looks at standard output."""
    return sys.stdout.isatty()


def print_json(document: object) -> None:
    """Print one document; times are ISO 8601, ids are numbers."""
    typer.echo(write_json(document, default=datetime.isoformat, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under a header."""
    lines = [[cell(value) for value in row] for row in rows]
    if on_terminal():
        print_rich_table(columns, lines)
        return
    widths = [max(map(len, column)) for column in zip(columns, *lines, strict=True)]
    padded = (
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in (columns, *lines)
    )
    typer.echo("\n".join(padded))


def print_rich_table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """Print a table that fits the terminal."""
    from rich.console import Console  # noqa: PLC0415 - rich takes long to import

    Console().print(rich_table(columns, lines))


def rich_table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> Table:
    """Return a table for a terminal, the words of the life in their colours."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column not in PROSE)
    for line in lines:
        table.add_row(*map(coloured, map(shortened, columns, line)))
    return table


def print_facts(facts: Mapping[str, object]) -> None:
    """Print names and values, one a line; what is None is left out."""
    told = {name: value for name, value in facts.items() if value is not None}
    width = max(map(len, told))
    for name, value in told.items():
        print_text(f"{name.ljust(width)}  {cell(value)}")


def print_heading(text: str) -> None:
    """Begin a section."""
    typer.echo()
    print_text(text, style="bold")


def print_text(text: str, style: str = "") -> None:
    """Print lines as they are, but for control characters."""
    text = harmless(text)
    if not on_terminal():
        typer.echo(text)
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    Console().print(Text(text, style=style), soft_wrap=True)


def shortened(column: str, text: str) -> str:
    """Return a cell, prose that is too long cut."""
    if column not in PROSE or len(text) <= PROSE_CHARACTERS:
        return text
    return f"{text[: PROSE_CHARACTERS - 1]}…"


def coloured(text: str) -> Text:
    """Return a cell in the colour of its word, if it has one."""
    from rich.text import Text  # noqa: PLC0415

    return Text(text, style=COLOURS.get(text, ""))


def cell(value: object) -> str:
    """Return a value on one line: `-` for none, times in UTC to the second."""
    match value:
        case None:
            return "-"
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        case float():
            return f"{value:.3g}"
        case list():
            return ", ".join(map(cell, value)) or "-"
        case _:
            return harmless(" ".join(str(value).split()))


def harmless(text: str) -> str:
    """Write control characters as escapes."""
    return CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def pretty(document: object) -> str:
    """Return JSON for people."""
    return write_json(document, indent=2, ensure_ascii=False)
