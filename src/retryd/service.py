"""The one base of every loop: start, step by step, stop; outages are waited out."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from abc import ABC, abstractmethod
from contextlib import suppress

from retryd.domain.errors import DatabaseUnavailable

# PostgreSQL is back within seconds: nobody should be the one who notices last.
SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 3.0

logger = logging.getLogger("retryd.service")


class Service(ABC):
    """Repeats `step` until it is stopped; each step can be called without the loop."""

    shortest_pause_seconds = SHORTEST_PAUSE_SECONDS
    longest_pause_seconds = LONGEST_PAUSE_SECONDS
    begins_within_seconds = 0.0

    def __init__(self) -> None:
        self._failing: tuple[float, str] | None = None
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
    def trouble(self) -> str | None:
        """For how long its steps have failed, and why; None if the last one worked."""
        if self._failing is None:
            return None
        since, reason = self._failing
        return f"{self.name} has failed for {time.monotonic() - since:.0f} s: {reason}"

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
        if self.begins_within_seconds:
            await self.rest(random.uniform(0, self.begins_within_seconds))
        while not self.stopping:
            self._woken.clear()
            try:
                pause = await self.step()
                failures = 0
                self._failing = None
            except DatabaseUnavailable as error:  # that it is away is told where it is noticed
                self._fail(error)
                pause = self.pause_after(failures := failures + 1)
                logger.debug("step_postponed", extra={"service": self.name, "reason": str(error)})
            except Exception as error:  # a loop must survive whatever a step meets
                self._fail(error)
                pause = self.pause_after(failures := failures + 1)
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

    def pause_after(self, failures: int) -> float:
        """Return the seconds until a failed step is made again.

        Full jitter, so that a fleet does not come back as one.
        """
        longest = min(self.longest_pause_seconds, 0.2 * 2 ** min(failures, 12))
        return random.uniform(
            self.shortest_pause_seconds, max(self.shortest_pause_seconds, longest)
        )

    def _fail(self, error: Exception) -> None:
        since = time.monotonic() if self._failing is None else self._failing[0]
        self._failing = since, str(error) or type(error).__name__
