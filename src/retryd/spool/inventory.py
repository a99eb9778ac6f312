"""What waits in a directory and what was rejected, for people and for gauges; changes nothing."""

from __future__ import annotations

import json
import math
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from retryd.spool.frame import Damage, Record, TornTail, read_lines
from retryd.spool.segments import REJECTED, locked, segments

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from retryd.spool.segments import Segment

CHUNK: Final = 1024 * 1024

State: TypeAlias = Literal["open", "sealed", "abandoned"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A segment that waits: `open` has a living writer, `abandoned` is of a dead one."""

    path: Path
    state: State
    records: int
    bytes: int
    born: datetime


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file of records that nobody takes, and how many there are for each reason."""

    path: Path
    records: int
    bytes: int
    reasons: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Verified:
    """A segment that was read: its good records, its damage, its torn tail in bytes."""

    path: Path
    records: int
    damage: tuple[Damage, ...]
    torn: int


def waiting(directory: Path) -> Iterator[Waiting]:
    """Look at each segment, the oldest first."""
    for segment in segments(directory):
        with suppress(FileNotFoundError):  # drained or sealed meanwhile
            records = records_in(segment.path, 0, segment.size)
            yield Waiting(segment.path, state_of(segment), records, segment.size, segment.born)


def state_of(segment: Segment) -> State:
    """Tell whether a segment is sealed, and whether a process has the lock of one that is not."""
    if segment.sealed:
        return "sealed"
    with locked(segment.path) as descriptor:
        return "open" if descriptor is None else "abandoned"


def rejected(directory: Path) -> Iterator[Rejected]:
    """Look at what was rejected, the oldest first."""
    for path in sorted((directory / REJECTED).glob("*.jsonl")):
        with suppress(FileNotFoundError):  # a person has removed it
            lines = path.read_bytes().splitlines()
            reasons = dict(Counter(map(reason_of, lines)))
            yield Rejected(path, len(lines), path.stat().st_size, reasons)


def reason_of(line: bytes) -> str:
    """Return why a record was rejected; a person may have edited the file."""
    try:
        return str(json.loads(line)["reason"])
    except (ValueError, TypeError, LookupError):
        return "unreadable"


def verify(directory: Path) -> Iterator[Verified]:
    """Read every record, and find what is damaged.

    Only of a segment that is not sealed the last line may lack its end: nobody was told of it.
    """
    for segment in segments(directory):
        with suppress(FileNotFoundError), segment.path.open("rb") as file:
            records = torn = 0
            damage = []
            for each in read_lines(file):
                match each:
                    case Record():
                        records += 1
                    case TornTail(body=tail) if not segment.sealed:
                        torn = len(tail)
                    case _:
                        damage.append(Damage(each.offset, each.body))
            yield Verified(segment.path, records, tuple(damage), torn)


class RecordCount:
    """Counts what waits; of a file that it knows only what was added is read."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, int]] = {}

    def count(self, directories: Iterable[Path]) -> float:
        """Return how many records wait in these directories; NaN where that cannot be read."""
        known = {}
        try:
            for segment in (each for directory in directories for each in segments(directory)):
                size, records = self._known.get(segment.path, (0, 0))
                if segment.size < size:  # a write that failed was cut off again
                    size = records = 0
                if segment.size > size:
                    with suppress(FileNotFoundError):
                        records += records_in(segment.path, size, segment.size)
                known[segment.path] = segment.size, records
        except OSError:
            return math.nan
        self._known = known  # at once: scrapes come in threads of their own
        return sum(records for _, records in known.values())


def records_in(path: Path, start: int, end: int) -> int:
    """Count the lines that end between these offsets."""
    records = 0
    with path.open("rb") as file:
        file.seek(start)
        while chunk := file.read(min(CHUNK, end - file.tell())):
            records += chunk.count(b"\n")
    return records
