"""A service on a thread and an event loop of its own: nothing that blocks the worker's stops it."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from retryd.worker.service import Service

JOIN_SECONDS = 5.0

logger = logging.getLogger("retryd.worker")


class OwnThread:
    """Opens a service in a new thread and runs it there until it is stopped."""

    def __init__(
        self, name: str, open_service: Callable[[], AbstractAsyncContextManager[Service]]
    ) -> None:
        self._open_service = open_service
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[None]] | None = None
        self._opened = threading.Event()

    def start(self) -> None:
        """Start the thread; returns at once."""
        self._thread.start()

    async def stop(self) -> None:
        """End the service and its thread; one that does not end in time is left behind."""
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        self._opened.wait(JOIN_SECONDS)
        if self._running is not None:
            loop, task = self._running
            loop.call_soon_threadsafe(task.cancel)
        self._thread.join(JOIN_SECONDS)
        if self._thread.is_alive():
            logger.warning("thread_left_running", extra={"name_of_thread": self._thread.name})

    def _work(self) -> None:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            task = runner.get_loop().create_task(self._serve())
            self._running = runner.get_loop(), task
            self._opened.set()
            runner.run(ended(task))

    async def _serve(self) -> None:
        async with self._open_service() as service:
            await service.run()


async def ended(task: asyncio.Task[None]) -> None:
    """Wait until a task is over, however it ends."""
    await asyncio.wait([task])
