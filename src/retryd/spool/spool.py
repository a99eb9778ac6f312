"""Appends records from any thread: all that wait are written at once, and synced at once."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from retryd.domain.errors import SpoolUnavailable
from retryd.forks import in_children
from retryd.spool.frame import frame
from retryd.spool.open_segment import OpenSegment
from retryd.spool.segments import size_of, unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_BYTES: Final = 1024**3

Unit: TypeAlias = tuple[bytes, Future[None]]

logger = logging.getLogger("retryd.spool")


class Spool:
    """Records in files of `directory`, which all together have at most `max_bytes`.

    Its thread starts with the first record, or `begin`, and ends with `close`. Where none can
    start, as when the interpreter ends, `append` writes by itself. A forked child has a spool of
    its own.
    """

    def __init__(self, directory: Path | str, max_bytes: int = MAX_BYTES) -> None:
        self._directory = Path(directory)
        self._max_bytes = max_bytes
        self._segment: OpenSegment | None = None
        self._closing = False
        self.start_afresh()
        in_children(self)

    def start_afresh(self) -> None:
        """Leave what waits, and the segment, to the parent; needs no lock: no thread is there."""
        if self._segment is not None:
            self._segment.forget()
        self._used = 0
        self._segment = None
        self._waiting: list[Unit] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start the thread now: once the interpreter ends none can start."""
        with self._changed:
            self._has_thread()

    def append(self, *records: bytes) -> Future[None]:
        """Keep records of one line, all or none; the future is done once they are on the disk.

        It fails with SpoolUnavailable where they are not kept. Raises ValueError for a record with
        a newline.
        """
        lines = b"".join(map(frame, records))
        future: Future[None] = Future()
        with self._changed:
            if self._closing:
                future.set_exception(SpoolUnavailable(f"the spool {self._directory} is closed"))
                return future
            if self._has_thread():
                self._waiting.append((lines, future))
                self._changed.notify()
            else:
                self._write([(lines, future)], closing=True)
        return future

    def close(self, within: float | None = None) -> None:
        """Write what waits and let it be drained; blocks, for so many seconds at most."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(within)

    def _has_thread(self) -> bool:
        """Start the thread, unless it runs; false where none can start. The lock is held."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="spool", daemon=True)
            with suppress(RuntimeError):
                thread.start()
                self._thread = thread
        return self._thread is not None

    def _run(self) -> None:
        closing = False
        while not closing:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._waiting or self._closing,
                    None if self._segment is None else self._segment.seconds_left,
                )
                closing = self._closing
                group, self._waiting = self._waiting, []
            self._write(group, closing=closing)

    def _write(self, group: Sequence[Unit], *, closing: bool) -> None:
        self._keep([each for each in group if each[1].set_running_or_notify_cancel()])
        self._seal_in_time(closing=closing)

    def _keep(self, group: Sequence[Unit]) -> None:
        """Write a group and tell each of it; whatever goes wrong, the thread goes on."""
        if not group:
            return
        try:
            if self._segment is None:
                self._segment = OpenSegment(self._directory)
                self._used = size_of(self._directory)
            group = self._fitting(group)
            joined = b"".join(lines for lines, _ in group)
            self._segment.append(joined)
            self._used += len(joined)
        except Exception as error:  # noqa: BLE001 - each caller is told
            for _, future in group:
                if not future.done():
                    future.set_exception(unavailable(self._directory, error))
        else:
            for _, future in group:
                future.set_result(None)

    def _fitting(self, group: Sequence[Unit]) -> list[Unit]:
        """Return those for which there is room, and refuse the others."""
        if self._used + sum(len(lines) for lines, _ in group) > self._max_bytes:
            self._used = size_of(self._directory)  # some may be drained by now
        room = self._max_bytes - self._used
        fitting = []
        for lines, future in group:
            if len(lines) <= room:
                room -= len(lines)
                fitting.append((lines, future))
            else:
                future.set_exception(self._full())
        return fitting

    def _full(self) -> SpoolUnavailable:
        return SpoolUnavailable(
            f"the spool {self._directory} is full: {self._used:,} bytes wait, spool.max_bytes is "
            f"{self._max_bytes:,}: drain it (a worker does, or `retryd spool drain`), or raise that"
        )

    def _seal_in_time(self, *, closing: bool) -> None:
        segment = self._segment
        if segment is None:
            return
        if segment.closed:
            self._segment = None
        elif closing or segment.seconds_left == 0:
            self._segment = None
            try:
                segment.seal()
            except OSError as error:  # it is kept: a drainer takes it for one of a dead process
                extra = {"directory": str(self._directory), "reason": str(error)}
                logger.warning("spool_seal_failed", extra=extra)
