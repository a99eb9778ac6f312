"""The real psql, and its output as a page shows it."""

from __future__ import annotations

import shutil

from retryd.embedded.binaries import find


def psql() -> str:
    """Find psql on the PATH or beside the embedded server."""
    return shutil.which("psql") or str(find().directory / "psql")


def trimmed(text: str) -> str:
    """Return the lines without empty ones around them and blanks at their ends."""
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
