"""The parent of `--processes N`: keeps its children alive, and speaks for them."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from retryd.domain.errors import RetrydError
from retryd.ports import Readiness
from retryd.processes.child import DONE, MISUSED, PROBLEM, Child
from retryd.processes.messages import Welcome
from retryd.telemetry.shared import MergedMetrics

if TYPE_CHECKING:
    from collections.abc import Sequence

MARGIN_SECONDS = 20.0

logger = logging.getLogger("retryd.processes")


class Parent:
    """Runs `count` children, each `argv` with `--child FD`; it is their Health and their metrics.

    An `endless` child has never done its work. One may drain for `shutdown_seconds`; after
    `margin_seconds` more, in which it settles and says good-bye, it is ended by force. Their
    metrics are in `directory`, which `run` removes. Raises RetrydError where no directory can be
    made.
    """

    def __init__(
        self,
        argv: Sequence[str],
        count: int,
        *,
        shutdown_seconds: float,
        endless: bool = False,
        margin_seconds: float = MARGIN_SECONDS,
    ) -> None:
        self._end_within_seconds = shutdown_seconds + margin_seconds
        self._directory = directory_of_metrics()
        self.directory = Path(self._directory.name)
        self._metrics = MergedMetrics(self.directory)
        self._children = [
            Child(
                argv,
                Welcome(number, self.directory, self._end_within_seconds),
                self._metrics,
                endless=endless,
            )
            for number in range(count)
        ]
        self._ending = asyncio.Event()
        self._reloads = 0

    async def run(self, stop: asyncio.Event) -> int:
        """Keep the children until `stop` is set or all are done, then let them drain.

        One that cannot begin ends all. Returns 0 if all ended well, 2 if one found its
        configuration unusable, else 1.
        """
        keeping = {asyncio.create_task(child.keep(self._ending)) for child in self._children}
        stopping = asyncio.create_task(stop.wait())
        codes: list[int] = []
        try:
            while keeping and not stop.is_set() and set(codes) <= {DONE}:
                ended, _ = await asyncio.wait(
                    {*keeping, stopping}, return_when=asyncio.FIRST_COMPLETED
                )
                codes += [task.result() for task in keeping & ended]
                keeping -= ended
            codes += await self._drain(keeping)
        finally:
            self._ending.set()
            for child in self._children:
                child.kill()
            for task in (stopping, *keeping):
                task.cancel()
            await asyncio.gather(stopping, *keeping, return_exceptions=True)
            self._directory.cleanup()
        if MISUSED in codes:
            return MISUSED
        return DONE if set(codes) <= {DONE} else PROBLEM

    def forward(self, number: int) -> None:
        """Send a signal to all children; one that has just been started needs no reload."""
        self._reloads += number == signal.SIGHUP
        for child in self._children:
            child.signal(number)

    async def ready(self) -> Readiness:
        """Tell whether any child takes work, and what is wrong with each that does not."""
        if self._ending.is_set():
            return Readiness(ready=False, reasons=("it is stopping",))
        problems = {child.number: child.problems() for child in self._children}
        reasons = tuple(
            f"child {number}: {problem}" for number, found in problems.items() for problem in found
        )
        return Readiness(not all(problems.values()), reasons)

    def state(self) -> dict[str, object]:
        """Tell how the children are, for people."""
        return {
            "stopping": self._ending.is_set(),
            "reloads": self._reloads,
            "reloading": any(child.reloading() for child in self._children),
            "children": [child.state() for child in self._children],
        }

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Return the text of a scrape of all children, and its content type."""
        return self._metrics.exposition(accept)

    async def _drain(self, keeping: set[asyncio.Task[int]]) -> list[int]:
        """Ask all to end, and make them when they take too long; returns their exit codes."""
        self._ending.set()
        if not keeping:
            return []
        self.forward(signal.SIGTERM)
        _, late = await asyncio.wait(keeping, timeout=self._end_within_seconds)
        if late:
            logger.error("children_killed", extra={"children": len(late)})
            for child in self._children:
                child.kill()
            await asyncio.wait(late)
        return [task.result() for task in keeping]


def directory_of_metrics() -> TemporaryDirectory[str]:
    """Make it where temporary files belong. Raises RetrydError."""
    try:
        return TemporaryDirectory(prefix="retryd-metrics-", ignore_cleanup_errors=True)
    except OSError as error:
        message = (
            f"the processes share their metrics in a temporary directory, and none can be made"
            f" ({error.strerror}): let /tmp be writable, or name another place by TMPDIR"
        )
        raise RetrydError(message) from error
