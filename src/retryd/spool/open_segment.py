"""The segment that one process writes: what it acknowledged is on the disk, and nothing else is."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from retryd.spool.segments import (
    FILE_MODE,
    lock,
    make_directory,
    new_path,
    release,
    seal,
    sync_directory,
)

if TYPE_CHECKING:
    from pathlib import Path

SEAL_SECONDS: Final = 1.0
SEAL_BYTES: Final = 8 * 1024 * 1024


class OpenSegment:
    """A new file in `directory`, under our lock; its first `size` bytes are on the disk.

    Raises OSError, as its methods do.
    """

    def __init__(self, directory: Path) -> None:
        make_directory(directory)
        self._path, self._descriptor = created(directory)
        self._seal_at = time.monotonic() + SEAL_SECONDS
        self.size = 0
        self.closed = False
        try:
            sync_directory(directory)
        except OSError:
            self.abandon()
            raise

    @property
    def seconds_left(self) -> float:
        """How long it may stay open: a drainer takes only what is sealed."""
        return 0.0 if self.size >= SEAL_BYTES else max(0.0, self._seal_at - time.monotonic())

    def append(self, lines: bytes) -> None:
        """Write and sync all of this, or leave the file as it was."""
        try:
            write(self._descriptor, lines)
        except OSError:
            self._cut()
            raise
        try:
            os.fsync(self._descriptor)
        except OSError:
            # The kernel may have dropped what it could not write, and would tell the next caller
            # that all is well: this descriptor is not believed again.
            self._cut()
            self.abandon()
            raise
        self.size += len(lines)

    def seal(self) -> None:
        """Let it be drained, and write no more."""
        try:
            seal(self._descriptor, self._path)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Leave it to whoever finds it, as when this process dies."""
        if not self.closed:
            self.closed = True
            release(self._descriptor)

    def forget(self) -> None:
        """Leave it to the process that we are a child of, which still has its lock."""
        if not self.closed:
            self.closed = True
            os.close(self._descriptor)

    def _cut(self) -> None:
        try:
            os.ftruncate(self._descriptor, self.size)
        except OSError:
            self.abandon()


def created(directory: Path) -> tuple[Path, int]:
    """Make an empty segment and take its lock; returns path and descriptor."""
    while True:
        path = new_path(directory)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
        descriptor = os.open(path, flags, FILE_MODE)
        try:
            if lock(descriptor, path):
                return path, descriptor
        except OSError:
            os.close(descriptor)
            with suppress(OSError):
                path.unlink()
            raise
        os.close(descriptor)  # a drainer found it before we had its lock, and has removed it


def write(descriptor: int, lines: bytes) -> None:
    """Write all; a short write is followed by the one that tells why."""
    rest = memoryview(lines)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
