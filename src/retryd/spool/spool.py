"""Appends records from any thread: all that wait are written at once, and synced at once."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from retryd.domain.errors import SpoolUnavailable
from retryd.spool.frame import frame
from retryd.spool.open_segment import OpenSegment
from retryd.spool.segments import size_of, unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_BYTES: Final = 1024**3

Waiting: TypeAlias = tuple[bytes, Future[None]]

logger = logging.getLogger("retryd.spool")


class Spool:
    """Records in files of `directory`, which all together have at most `max_bytes`.

    Its thread starts with the first record and ends with `close`.
    """

    def __init__(self, directory: Path | str, max_bytes: int = MAX_BYTES) -> None:
        self._directory = Path(directory)
        self._max_bytes = max_bytes
        self._used = 0
        self._segment: OpenSegment | None = None
        self._waiting: list[Waiting] = []
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    def append(self, record: bytes) -> Future[None]:
        """Keep a record of one line; the future is done once it is on the disk.

        It fails with SpoolUnavailable where the record is not kept. Raises ValueError for a record
        with a newline.
        """
        line = frame(record)
        future: Future[None] = Future()
        with self._changed:
            if self._closing:
                future.set_exception(SpoolUnavailable(f"the spool {self._directory} is closed"))
                return future
            self._waiting.append((line, future))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
                self._thread.start()
            self._changed.notify()
        return future

    def close(self, within: float | None = None) -> None:
        """Write what waits and let it be drained; blocks, for so many seconds at most."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(within)

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
            self._keep([each for each in group if each[1].set_running_or_notify_cancel()])
            self._seal_in_time(closing=closing)

    def _keep(self, group: Sequence[Waiting]) -> None:
        """Write a group and tell each of it; whatever goes wrong, the thread goes on."""
        if not group:
            return
        try:
            if self._segment is None:
                self._segment = OpenSegment(self._directory)
                self._used = size_of(self._directory)
            group = self._fitting(group)
            lines = b"".join(line for line, _ in group)
            self._segment.append(lines)
            self._used += len(lines)
        except Exception as error:  # noqa: BLE001 - each caller is told
            for _, future in group:
                if not future.done():
                    future.set_exception(unavailable(self._directory, error))
        else:
            for _, future in group:
                future.set_result(None)

    def _fitting(self, group: Sequence[Waiting]) -> list[Waiting]:
        """Return those for which there is room, and refuse the others."""
        if self._used + sum(len(line) for line, _ in group) > self._max_bytes:
            self._used = size_of(self._directory)  # some may be drained by now
        room = self._max_bytes - self._used
        fitting = []
        for line, future in group:
            if len(line) <= room:
                room -= len(line)
                fitting.append((line, future))
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
