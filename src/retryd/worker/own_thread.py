"""A service on a thread and an event loop of its own: nothing that blocks the worker's stops it."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from retryd.worker.service import Service

logger = logging.getLogger("retryd.worker")


class OwnThread:
    """Opens a service in a new thread and runs it there until it is stopped."""

    def __init__(
        self, name: str, open_service: Callable[[], AbstractAsyncContextManager[Service]]
    ) -> None:
        self._open_service = open_service
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._here = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._there = asyncio.new_event_loop()
        self._stopping = asyncio.Event()

    def start(self) -> None:
        """Start the thread; returns at once."""
        self._thread.start()

    async def stop(self, within: float) -> None:
        """End the service and its thread; one that takes longer is left behind."""
        with suppress(RuntimeError):  # its loop is closed: it has ended
            self._there.call_soon_threadsafe(self._stopping.set)
        try:
            async with asyncio.timeout(within):
                await self._ended.wait()
        except TimeoutError:
            logger.warning("thread_left_running", extra={"name_of_thread": self._thread.name})

    def _work(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._there) as runner:
            runner.run(self._serve())
        with suppress(RuntimeError):  # nobody waits any more
            self._here.call_soon_threadsafe(self._ended.set)

    async def _serve(self) -> None:
        async with self._open_service() as service:
            running = asyncio.create_task(service.run())
            stopping = asyncio.create_task(self._stopping.wait())
            await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
            running.cancel()
            await asyncio.wait((running,))
