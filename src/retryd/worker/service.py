"""The one base of every loop: start, step by step, stop; outages are waited out."""

from __future__ import annotations

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from contextlib import suppress

from retryd.domain.errors import DatabaseUnavailable

# PostgreSQL is back within seconds: nobody should be the one who notices last.
LONGEST_PAUSE_SECONDS = 3.0

logger = logging.getLogger("retryd.worker")


class Service(ABC):
    """Repeats `step` until it is stopped; each step can be called without the loop."""

    longest_pause_seconds = LONGEST_PAUSE_SECONDS

    def __init__(self) -> None:
        self._stopping = asyncio.Event()
        self._woken = asyncio.Event()

    @property
    def name(self) -> str:
        """The name in logs."""
        return type(self).__name__.lower()

    @abstractmethod
    async def step(self) -> float:
        """Do the work once; return the seconds until it is worth doing again, 0 for at once."""

    @property
    def stopping(self) -> bool:
        """Whether the end was asked for."""
        return self._stopping.is_set()

    def wake(self) -> None:
        """Begin the next step now."""
        self._woken.set()

    def stop(self) -> None:
        """Let the current step end and begin no other; may be called twice, or before `run`."""
        self._stopping.set()
        self._woken.set()

    async def run(self) -> None:
        """Repeat steps until stopped. A step that fails is logged and made again, ever later."""
        failures = 0
        while not self.stopping:
            self._woken.clear()
            try:
                pause = await self.step()
                failures = 0
            except DatabaseUnavailable as error:  # that it is away is told where it is noticed
                pause = self._pause_after(failures := failures + 1)
                logger.debug("step_postponed", extra={"service": self.name, "reason": str(error)})
            except Exception:  # a loop must survive whatever a step meets
                pause = self._pause_after(failures := failures + 1)
                logger.exception("step_failed", extra={"service": self.name})
            if pause > 0:
                await self.rest(pause)

    async def rest(self, seconds: float) -> None:
        """Wait this long, or until woken or stopped."""
        if self.stopping:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    def _pause_after(self, failures: int) -> float:
        """Full jitter, so that a fleet does not come back as one."""
        return random.uniform(0.05, min(self.longest_pause_seconds, 0.2 * 2 ** min(failures, 10)))
