"""Keeps failure events for those who may not wait: in PostgreSQL, or else in a spool."""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import threading
import time
from collections import deque
from concurrent.futures import wait
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from retryd.client.calls import CAPTURE_MANY, Call
from retryd.client.halves import by_halves
from retryd.client.own_connection import ask_alone
from retryd.domain.errors import Refused
from retryd.domain.outcome import failure_of
from retryd.forks import in_children
from retryd.own_thread import OwnThread
from retryd.spool.drain import drain
from retryd.spool.segments import segments
from retryd.spool.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from pathlib import Path

CAPTURE_AT_ONCE: Final = 500
AGAIN_SECONDS: Final = 2.0
IDLE_SECONDS: Final = 30.0
LAST_SECONDS: Final = 5.0
END_SECONDS: Final = 2.0

logger = logging.getLogger("retryd.publisher")


class Keeper:
    """Takes records from any thread at once, and captures them in a thread of its own.

    A record is a failure event as JSON that has an event_id. What PostgreSQL does not take goes to
    the spool in `directory`, and from there to PostgreSQL when that is back. `buffer_size` records
    wait at most; what comes beyond goes to the spool right away.
    """

    def __init__(self, database_url: str | None, directory: Path, buffer_size: int) -> None:
        self._database_url = database_url
        self._directory = directory
        self._buffer_size = buffer_size
        self._closed = False
        self.start_afresh()
        in_children(self)

    def start_afresh(self) -> None:
        """Begin with nothing: what waits in the parent of a forked process, the parent keeps."""
        atexit.unregister(self.close)
        self._spool = Spool(self._directory)
        self._waiting: deque[bytes] = deque()
        self._in_hand: list[bytes] = []
        self._changed = threading.Condition()
        self._thread: OwnThread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        self._away_until = 0.0
        self._lost = 0

    def begin(self) -> bool:
        """Start to work, once: first with what an earlier process has left in the spool.

        Never raises. Returns whether it works; where no thread can start the next call tries again.
        """
        with self._changed:
            if self._thread is None and not self._closed:
                atexit.unregister(self.close)
                atexit.register(self.close, LAST_SECONDS)
                try:
                    thread = OwnThread("retryd-publisher", self._run)
                    thread.start()
                except Exception as error:  # noqa: BLE001 - no descriptor or thread is left: later
                    tell_postponed(error)
                else:
                    self._thread = thread
                    self._spool.begin()
            return self._thread is not None

    def keep(self, record: bytes) -> None:
        """Take a record; never raises, and waits for the disk only where no thread can start."""
        if not (self.begin() and self._held(record)):
            self._spool.append(record).add_done_callback(partial(self._hold, record))

    def lose(self, event_type: str, event_id: str, reason: str) -> None:
        """Tell of an event that is in no place now."""
        self._lost += 1
        extra = {"event_type": event_type, "event_id": event_id, "reason": reason}
        logger.error("event_lost", extra=extra)

    def close(self, within: float) -> bool:
        """Bring what waits to PostgreSQL, for so many seconds, and what is left into the spool.

        Returns whether everything was kept, from the first record on. Blocks; a thread that hangs,
        on a name that nobody resolves or on a disk, is left behind.
        """
        with self._changed:
            self._closed = True
            if self._thread is not None:
                self._changed.wait_for(lambda: not (self._waiting or self._in_hand), within)
        if self._thread is not None:
            self._thread.join(END_SECONDS)
        atexit.unregister(self.close)
        with self._changed:
            records = [*self._in_hand, *self._waiting]
            self._in_hand = []
            self._waiting.clear()
        end = time.monotonic() + LAST_SECONDS
        left = [(each, self._spool.append(each)) for each in records]
        wait([future for _, future in left], LAST_SECONDS)
        for record, future in left:
            self._tell_if_lost(record, future)
        self._spool.close(max(0.0, end - time.monotonic()))
        self._spool = Spool(self._directory)  # for who publishes all the same
        return not self._lost

    def _held(self, record: bytes) -> bool:
        """Have a record wait in memory, if there is room."""
        with self._changed:
            if fits := not self._closed and len(self._waiting) < self._buffer_size:
                self._waiting.append(record)
        if fits:
            self._wake()
        return fits

    def _hold(self, record: bytes, future: Future[None]) -> None:
        """Have a record that the spool does not take wait in memory; without room it is lost."""
        if future.exception() and not self._held(record):
            self._tell_if_lost(record, future)

    def _wake(self) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._woken.set)

    async def _run(self, stopping: asyncio.Event) -> None:
        self._loop = asyncio.get_running_loop()
        working = asyncio.create_task(self._work())
        await stopping.wait()
        working.cancel()
        await asyncio.wait((working,))

    async def _work(self) -> None:
        while True:
            self._woken.clear()
            try:
                pause = await self._step()
            except Exception:  # whatever it is, what waits must be kept
                logger.exception("publisher_failed")
                pause = AGAIN_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()

    async def _step(self) -> float:
        """Keep all that waits, drain what lies in the spool; return the seconds until the next."""
        while self._take():
            if not await self._captured():
                await self._set_aside()
        if not segments(self._directory):
            return IDLE_SECONDS
        if time.monotonic() >= self._away_until:
            try:
                await drain(self._directory, self._capture)
            except Exception as error:  # noqa: BLE001 - PostgreSQL is away, or the disk: again
                self._away(error)
        return AGAIN_SECONDS

    def _take(self) -> bool:
        """Take the oldest records in hand; false when none waits."""
        with self._changed:
            if not self._in_hand:
                count = min(len(self._waiting), CAPTURE_AT_ONCE)
                self._in_hand = [self._waiting.popleft() for _ in range(count)]
            if not self._in_hand:
                self._changed.notify_all()
            return bool(self._in_hand)

    async def _captured(self) -> bool:
        """Capture what is in hand; false when PostgreSQL is away."""
        if time.monotonic() < self._away_until:
            return False
        records = self._in_hand
        try:
            reasons = await self._capture(records)
        except Exception as error:  # noqa: BLE001 - whatever it is, the spool takes them
            self._away(error)
            return False
        for record, reason in zip(records, reasons, strict=True):
            if reason is not None:
                self._lose(record, reason)
        self._in_hand = []
        return True

    async def _capture(self, records: Sequence[bytes]) -> list[str | None]:
        """Capture all at once, or each half by itself; returns why one is refused."""
        return await by_halves(self._ask, records, (Refused,))

    async def _ask(self, records: Sequence[bytes]) -> list[str | None]:
        call = Call(CAPTURE_MANY, (f"[{b','.join(records).decode()}]",))
        try:
            await ask_alone(call, self._database_url)
        except Refused as refused:
            if len(records) > 1:
                raise
            return [str(refused).removeprefix("event 0: ")]
        return [None] * len(records)

    async def _set_aside(self) -> None:
        """Put what is in hand into the spool; what does not get there stays in hand."""
        futures = [(each, self._spool.append(each)) for each in self._in_hand]
        await asyncio.wait([asyncio.wrap_future(future) for _, future in futures])
        failed = [(each, future.exception()) for each, future in futures if future.exception()]
        with self._changed:
            self._in_hand = [each for each, _ in failed]
        if failed:
            logger.error("spool_failed", extra={"reason": str(failed[0][1])})
            await asyncio.sleep(AGAIN_SECONDS)

    def _away(self, error: Exception) -> None:
        self._away_until = time.monotonic() + AGAIN_SECONDS
        tell_postponed(error)

    def _tell_if_lost(self, record: bytes, future: Future[None]) -> None:
        """Log a record that is in no place now."""
        if not future.done():
            self._lose(record, f"the spool did not answer within {LAST_SECONDS:g} s")
        elif error := future.exception():
            self._lose(record, str(error))

    def _lose(self, record: bytes, reason: str) -> None:
        event = json.loads(record)
        self.lose(event["event_type"], event["event_id"], reason)


def tell_postponed(error: Exception) -> None:
    """Log why nothing can be captured now."""
    logger.warning("capture_postponed", extra={"reason": reason_of(error)})


def reason_of(error: BaseException) -> str:
    """Say in a few words what went wrong, however odd the error is."""
    return failure_of(error).message or type(error).__name__
