"""Asking a person before much is changed."""

from __future__ import annotations

import sys

import typer

from retryd.cli.failure import refuse


def check_askable(question: str = "") -> None:
    """Refuse where nobody sits at standard input."""
    if not sys.stdin.isatty():
        message = f"{question} Nobody can be asked here: say --yes".strip()
        raise typer.BadParameter(message)


def ask(question: str) -> None:
    """Go on when a person says yes, else end; refuse where nobody can be asked."""
    check_askable(question)
    # Not by typer.confirm: it writes a blank to standard output, where only data belongs.
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        refuse("nothing was done")


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return a number and its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
