"""Events that come one by one, captured several at once: what waits goes with the next call."""

from __future__ import annotations

import asyncio
from itertools import accumulate
from typing import TYPE_CHECKING, Final, TypeAlias

from retryd.domain.errors import Refused, StatementAborted
from retryd.store.intake import LOCK_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retryd.store.intake import Intake
    from retryd.store.reads import Row

CALLS: Final = 2
"""So many at once: while one is committed, or waits for somebody's lock, the other is made."""
SHORT_SECONDS: Final = 0.2
"""How long several wait for a lock: it is one that is blocked, and the others wait for nothing."""
DIVIDING_SECONDS: Final = 4.0
"""So long a group is divided: where each call takes its time, it is not one that is to blame."""
MOST: Final = 100
MOST_CHARACTERS: Final = 4 * 1024 * 1024

Waiting: TypeAlias = "tuple[str, asyncio.Future[Row]]"


class Gatherer:
    """Captures each event as if it came alone: no other one of its call matters to it."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._waiting: list[Waiting] = []
        self._calls: set[asyncio.Task[None]] = set()

    async def capture(self, event: str) -> Row:
        """Capture an event, a JSON object; returns outcome and ids. Raises as the intake does."""
        future: asyncio.Future[Row] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, future))
        if len(self._calls) < CALLS:
            task = asyncio.create_task(self._call(), name="capture")
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
        return await future

    async def _call(self) -> None:
        while self._waiting:
            lengths = accumulate(len(event) for event, _ in self._waiting[:MOST])
            number = max(1, sum(length <= MOST_CHARACTERS for length in lengths))
            group, self._waiting = self._waiting[:number], self._waiting[number:]
            alone = len(group) == 1
            try:
                until = asyncio.get_running_loop().time() + DIVIDING_SECONDS
                await self._capture(group, LOCK_SECONDS if alone else SHORT_SECONDS, until)
            except BaseException:  # this was broken off, and goes on with nothing
                for _, future in (*group, *self._waiting):
                    future.cancel()
                raise

    async def _capture(self, group: Sequence[Waiting], lock_seconds: float, until: float) -> None:
        """Capture a group; one that is refused, or blocked, is so alone."""
        try:
            events = f"[{','.join(event for event, _ in group)}]"
            rows = await self._intake.capture_checked(events, lock_seconds=lock_seconds)
            answers = list(zip(group, rows, strict=True))
        except (Refused, StatementAborted) as error:
            if len(group) > 1 and asyncio.get_running_loop().time() < until:
                middle = len(group) // 2
                await self._capture(group[:middle], lock_seconds, until)
                await self._capture(group[middle:], lock_seconds, until)
                return
            refuse(group, error)
        except Exception as error:  # noqa: BLE001 - each who waits is told
            refuse(group, error)
        else:
            for (_, future), row in answers:
                if not future.done():
                    future.set_result(row)


def refuse(group: Sequence[Waiting], error: Exception) -> None:
    """Tell each who waits what went wrong."""
    for _, future in group:
        if not future.done():
            future.set_exception(error)
