"""Options and arguments that several commands share, and how their texts are read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from retryd.domain.patterns import check_pattern

ID = re.compile(r"[0-9]{1,18}")
WHERE = "Where"


def read_id(text: str) -> int:
    """Read the id of a retry."""
    if not ID.fullmatch(text):
        message = f"{text!r} is no id; an id is a whole number such as 17, `retryd list` shows them"
        raise typer.BadParameter(message)
    return int(text)


def check_operation(pattern: str | None) -> None:
    """Refuse what is no pattern, with the error of the domain."""
    if pattern is not None:
        check_pattern(pattern)


Config: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The configuration; else RETRYD_CONFIG names it.",
        rich_help_panel=WHERE,
    ),
]
DatabaseUrl: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="postgresql://user:password@host:port/name; else RETRYD_DATABASE_URL, database.url,"
        " DATABASE_URL or libpq's PG… variables name it.",
        rich_help_panel=WHERE,
    ),
]
Embedded: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--embedded",
        help="Run a PostgreSQL of retryd's own where no other is named.",
        rich_help_panel=WHERE,
    ),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Id: TypeAlias = Annotated[
    int, typer.Argument(parser=read_id, metavar="ID", help="Of a retry; `retryd list` shows it.")
]
Ids: TypeAlias = Annotated[
    list[int], typer.Argument(parser=read_id, metavar="ID", help="Of retries, one or more.")
]
Before: TypeAlias = Annotated[
    int | None,
    typer.Option(parser=read_id, metavar="ID", help="Only ids below this one: the next page."),
]
Limit: TypeAlias = Annotated[
    int, typer.Option(min=1, max=10_000, help="So many at most, the newest first.")
]
Handler: TypeAlias = Annotated[str | None, typer.Option(metavar="NAME", help="Of this handler.")]
Operation: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="PATTERN", help="Of operations that match, such as 'invoice.*'."),
]
Reason: TypeAlias = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Why; it is kept with the dead letter.")
]
