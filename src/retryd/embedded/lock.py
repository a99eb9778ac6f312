"""Lets one process at a time start the server of a directory."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


class Lock:
    """Held by the process whose server runs; the kernel frees it when that process dies."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "lock"
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock; false when somebody has it."""
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back, if we have it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> int | None:
        """Return the process that took the lock last."""
        with suppress(FileNotFoundError, ValueError):
            return int(self._file.read_text())
        return None
