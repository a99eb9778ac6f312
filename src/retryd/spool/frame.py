"""One record as one line that proves itself: `LLLLLLLL CCCCCCCC <json>` and a newline.

L is the length of the JSON in bytes, C its CRC-32, both as eight hexadecimal digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HEADER: Final = 18  # bytes


@dataclass(frozen=True, slots=True)
class Record:
    """What was appended, as it was; `offset` is where its line begins."""

    offset: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """A line that is no record any more, as it is."""

    offset: int
    body: bytes


@dataclass(frozen=True, slots=True)
class TornTail:
    """A last line without its end: its writer died before anybody was told that it is kept."""

    offset: int
    body: bytes


Found: TypeAlias = Record | Damage | TornTail


def frame(record: bytes) -> bytes:
    """Return the line of a record. Raises ValueError if it has a newline, as no compact JSON."""
    if b"\n" in record:
        message = "a record of the spool is one line: encode its JSON without newlines"
        raise ValueError(message)
    return header_of(record) + record + b"\n"


def header_of(record: bytes) -> bytes:
    """Return what stands before a record."""
    return b"%08x %08x " % (len(record), crc32(record))


def read_lines(lines: Iterable[bytes]) -> Iterator[Found]:
    """Tell of each line of a segment what it is; what follows a damaged one is read all the same.

    The lines are those that a binary file iterates over, from its beginning.
    """
    offset = 0
    for line in lines:
        yield read_line(offset, line)
        offset += len(line)


def read_line(offset: int, line: bytes) -> Found:
    """Tell what a line is."""
    if not line.endswith(b"\n"):
        return TornTail(offset, line)
    body = line[HEADER:-1]
    # Byte by byte: digits of another case are damage as well.
    return Record(offset, body) if line[:HEADER] == header_of(body) else Damage(offset, line)
