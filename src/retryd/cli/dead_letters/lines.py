"""The lines of an export as they are read again, each checked before it is sent."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import typer

from retryd.domain.errors import Refused
from retryd.domain.json_text import read_json
from retryd.domain.limits import JSON_DEPTH, check_json

LINE_BYTES: Final = 16 * 1024 * 1024
BATCH_LINES: Final = 500
BATCH_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file: its number from 1, its bytes, its text, and what is wrong with it."""

    number: int
    size: int
    text: str
    problem: str | None = None


@contextmanager
def open_lines(file: Path) -> Iterator[tuple[Iterator[Line], int | None]]:
    """Open a file, or standard input for `-`; yields its lines and its size, if it has one."""
    try:
        descriptor = os.dup(sys.stdin.fileno()) if str(file) == "-" else os.open(file, os.O_RDONLY)
    except OSError as error:
        message = f"{file} cannot be read: {error.strerror}"
        raise typer.BadParameter(message) from error
    with open(descriptor, "rb") as stream:  # noqa: PTH123 - a descriptor
        kind = os.fstat(descriptor)
        yield lines_of(stream), kind.st_size if stat.S_ISREG(kind.st_mode) else None


def lines_of(stream: BinaryIO) -> Iterator[Line]:
    """Yield the lines that are not blank; one that is too long is not kept in memory."""
    number = 0
    while raw := stream.readline(LINE_BYTES):
        number += 1
        size = len(raw)
        while raw and not raw.endswith(b"\n") and (rest := stream.readline(LINE_BYTES)):
            size += len(rest)
            if rest.endswith(b"\n"):
                break
        if size > LINE_BYTES:
            yield Line(number, size, "", f"it has more than {LINE_BYTES:,} bytes")
        elif raw.strip():
            yield line_of(number, raw)


def line_of(number: int, raw: bytes) -> Line:
    """Check a line: JSON that PostgreSQL can hold."""
    try:
        text = raw.decode().strip()
        check_json("it", read_json(text), LINE_BYTES, JSON_DEPTH + 1)
    except (Refused, ValueError) as error:
        return Line(number, len(raw), "", f"not readable as JSON: {error}")
    return Line(number, len(raw), text)


def batches_of(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Yield lines in batches that are neither long nor large."""
    batch: list[Line] = []
    size = 0
    for line in lines:
        if batch and (len(batch) == BATCH_LINES or size + line.size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += line.size
    if batch:
        yield batch
