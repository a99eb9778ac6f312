"""A thread with an event loop of its own: what blocks another loop does not hold it up."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

logger = logging.getLogger("retryd.own_thread")


class OwnThread:
    """Runs `work` in a new thread; the event that it is given is set when it is to end."""

    def __init__(
        self, name: str, work: Callable[[asyncio.Event], Coroutine[None, None, None]]
    ) -> None:
        self._work = work
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._ended: Future[None] = Future()
        self._ended.set_running_or_notify_cancel()  # nobody who waits for it can cancel it

    def start(self) -> None:
        """Start the thread; returns at once. Raises RuntimeError where none can start."""
        try:
            self._thread.start()
        except RuntimeError:
            self._loop.close()
            raise

    async def ended(self) -> None:
        """Wait until the work has ended."""
        await asyncio.wrap_future(self._ended)

    async def stop(self, within: float) -> None:
        """Have the work end, and wait for that; what takes longer is left behind."""
        self._tell()
        try:
            async with asyncio.timeout(within):
                await self.ended()
        except TimeoutError:
            logger.warning("thread_left_running", extra={"name_of_thread": self._thread.name})

    def join(self, within: float | None = None) -> None:
        """Have the work end, and block until its thread is gone, for so many seconds at most."""
        self._tell()
        self._thread.join(within)

    def _tell(self) -> None:
        with suppress(RuntimeError):  # its loop is closed: it has ended
            self._loop.call_soon_threadsafe(self._stopping.set)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._work(self._stopping))
        finally:
            self._ended.set_result(None)
