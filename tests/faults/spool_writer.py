"""A process that appends to a spool until it is done or dies, and tells what became of each record.

    spool_writer.py DIRECTORY NAME COUNT AT_ONCE

Prints `kept N` or `failed N`, a line each, as soon as it knows.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from concurrent.futures import Future
from pathlib import Path

from retryd.domain.errors import SpoolUnavailable
from retryd.spool.spool import Spool
from tests.faults.spooling import record


def tell(number: int, future: Future[None]) -> None:
    """Say what became of a record, in one write: nothing of it is lost in a buffer."""
    try:
        future.result()
        word = "kept"
    except SpoolUnavailable:
        word = "failed"
    os.write(1, f"{word} {number}\n".encode())


def main() -> None:
    """Append so many, that many at once."""
    directory, name, count, at_once = sys.argv[1:]
    spool = Spool(Path(directory))
    waiting: deque[tuple[int, Future[None]]] = deque()
    for number in range(int(count)):
        waiting.append((number, spool.append(record(name, number))))
        if len(waiting) == int(at_once):
            tell(*waiting.popleft())
    while waiting:
        tell(*waiting.popleft())
    spool.close()


if __name__ == "__main__":
    main()
