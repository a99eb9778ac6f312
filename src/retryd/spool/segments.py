"""The files of a spool: which there are, whose they are, and how one is sealed.

`<time>-<pid>-<random>.open` is being written by the process that holds its lock; when nobody holds
it, its writer is dead. `….spool` is sealed: nothing is written to it any more.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import secrets
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from retryd.domain.errors import SpoolUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

OPEN: Final = ".open"
SEALED: Final = ".spool"
REJECTED: Final = "rejected"
FILE_MODE: Final = 0o640
DIRECTORY_MODE: Final = 0o750

_TIME: Final = "%Y%m%dT%H%M%S.%fZ"
_NAME: Final = re.compile(r"(\d{8}T\d{6}\.\d{6}Z)-\d+-[0-9a-f]{8}\.(?:open|spool)")

logger = logging.getLogger("retryd.spool")


@dataclass(frozen=True, slots=True)
class Segment:
    """A file with records, as it was when somebody looked."""

    path: Path
    size: int

    @property
    def sealed(self) -> bool:
        """Whether nothing is written to it any more."""
        return self.path.suffix == SEALED

    @property
    def born(self) -> datetime:
        """When it was begun."""
        return datetime.strptime(self.path.name.partition("-")[0], _TIME).replace(tzinfo=UTC)


def new_path(directory: Path) -> Path:
    """Return where a new segment of this process may lie; names sort by age."""
    born = datetime.now(UTC).strftime(_TIME)
    return directory / f"{born}-{os.getpid()}-{secrets.token_hex(4)}{OPEN}"


def segments(directory: Path) -> list[Segment]:
    """Return what lies in a directory, the oldest first; nothing if there is no directory yet."""
    found = []
    with suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name):
                with suppress(FileNotFoundError):  # sealed or drained just now
                    found.append(Segment(Path(entry.path), entry.stat().st_size))
    return sorted(found, key=lambda segment: segment.path.name)


def size_of(directory: Path) -> int:
    """Return how many bytes wait in a directory."""
    return sum(segment.size for segment in segments(directory))


@contextmanager
def locked(path: Path) -> Iterator[int | None]:
    """Hold the lock of a segment; yields its descriptor, None if somebody else has the segment.

    Only the owner of a lock renames or removes a segment. So a path that leads to another file, or
    nowhere, once the lock is held was the owner's who held it before.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor if lock(descriptor, path) else None
    finally:
        release(descriptor)


def lock(descriptor: int, path: Path) -> bool:
    """Take the lock of a file, until it is closed; false when it is somebody else's."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def release(descriptor: int) -> None:
    """Give up the lock of a file, which a forked child would hold as well, and close it."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def seal(descriptor: int, path: Path) -> Path | None:
    """Let a segment be drained by whoever has its lock; one without records is removed: None."""
    if os.fstat(descriptor).st_size == 0:
        path.unlink()
        return None
    sealed = path.rename(path.with_suffix(SEALED))
    sync_directory(path.parent)
    return sealed


def adopt(descriptor: int, path: Path) -> Path | None:
    """Seal what a dead writer left, without its torn tail; the lock is the caller's."""
    with open(descriptor, "rb", closefd=False) as file:
        end = sum(len(line) for line in file if line.endswith(b"\n"))
        torn = file.tell() - end
    if torn:
        os.truncate(path, end)
        logger.warning("spool_tail_cut", extra={"segment": str(path), "bytes": torn})
    os.fsync(descriptor)  # its writer may have died before
    os.lseek(descriptor, 0, os.SEEK_SET)
    return seal(descriptor, path)


def make_directory(path: Path) -> None:
    """Make a directory that is still there after a power failure."""
    if not path.is_dir():
        make_directory(path.parent)
        path.mkdir(DIRECTORY_MODE, exist_ok=True)
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Have the names in a directory on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unavailable(directory: Path, error: Exception) -> SpoolUnavailable:
    """Say what is wrong with a spool and what to do."""
    cause = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return SpoolUnavailable(
        f"the spool {directory} cannot be used ({cause}): check that its disk has room and works, "
        "and that this user may write there"
    )
