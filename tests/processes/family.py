"""A parent in a process of its own: `family.py COUNT BEHAVIOUR FOLDER`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from retryd.processes.parent import Parent

PROGRAM = Path(__file__).with_name("program.py")


def parent_of(
    count: int,
    behaviour: str,
    folder: Path,
    *,
    shutdown: float = 5,
    margin: float = 5,
    endless: bool = False,
) -> Parent:
    """Return a parent of children that behave so."""
    argv = [sys.executable, str(PROGRAM), behaviour, str(folder)]
    return Parent(argv, count, shutdown_seconds=shutdown, margin_seconds=margin, endless=endless)


if __name__ == "__main__":
    _, count, behaviour, folder = sys.argv
    parent = parent_of(int(count), behaviour, Path(folder), shutdown=0.2, margin=0.3)
    print(parent.directory, flush=True)  # noqa: T201 - the test reads it
    sys.exit(asyncio.run(parent.run(asyncio.Event())))
