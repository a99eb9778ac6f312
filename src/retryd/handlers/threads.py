"""Threads for what blocks: one for each call, and the count of those that overrun their time."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Threads:
    """Starts daemon threads: one that hangs does not keep the process alive."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._deadlines: dict[object, float] = {}

    def overrunning(self) -> int:
        """Count the threads that run beyond their time, whether or not somebody waits for them."""
        now = time.monotonic()
        with self._lock:
            return sum(deadline < now for deadline in self._deadlines.values())

    def start(
        self, call: Callable[[], T], *, name: str, timeout_seconds: float = math.inf
    ) -> asyncio.Future[T]:
        """Make the call in a thread of its own; the future gets what it returns or raises.

        Nothing stops the call: who cancels the future merely stops to listen.
        """
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            with self._lock:
                self._deadlines[ended] = time.monotonic() + timeout_seconds
            try:
                value = call()
            except Exception as error:  # noqa: BLE001 - it belongs to who waits
                tell(ended.set_exception, error)
            else:
                tell(ended.set_result, value)
            finally:
                with self._lock:
                    del self._deadlines[ended]

        def tell(deliver: Callable[..., None], said: object) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(lambda: None if ended.done() else deliver(said))

        threading.Thread(target=work, name=name, daemon=True).start()
        return ended
