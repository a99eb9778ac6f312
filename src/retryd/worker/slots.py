"""The slots of a worker: a fixed number of tasks, each of which works on one retry at a time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from retryd.worker.leases import Held

    Task: TypeAlias = asyncio.Task[None]

# How long work that never waits may keep the event loop, until all else had its turn.
TURN_SECONDS = 0.001
# So many slots begin at once. Each that does lets one more begin: while work waits, all come to
# their turn; while it only computes, a few of them do it all, and nobody wakes the others for it.
WOKEN_AT_ONCE = 8


class Slots:
    """Take what waits, in order, and have `work` done on it. What work raises ends its slot."""

    def __init__(self, count: int, work: Callable[[Held, Task], Awaitable[None]]) -> None:
        self._count = count
        self._work = work
        self._waiting: deque[Held] = deque()
        self._idle: list[asyncio.Future[None]] = []
        self._woken = 0
        self._turn_ends = 0.0
        self._turn_comes = False
        self._closed = False
        self._tasks: list[Task] = []

    def start(self) -> None:
        """Open the slots."""
        self._tasks = [
            asyncio.create_task(self._run(), name=f"slot-{number}") for number in range(self._count)
        ]

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return len(self._waiting)

    def put(self, claimed: Iterable[Held]) -> None:
        """Work on these as slots get free."""
        self._waiting.extend(claimed)
        self._let_a_turn_begin()
        for _ in range(WOKEN_AT_ONCE):
            self._wake_one()

    def take_back(self) -> Iterator[Held]:
        """Take out what waits."""
        while self._waiting:
            yield self._waiting.popleft()

    async def close(self, patience: Iterable[float]) -> int:
        """Cancel what works, and again after each of these seconds; return how many do not end."""
        self._closed = True
        left, self._tasks = set(self._tasks), []
        for seconds in patience:
            for task in left:
                task.cancel()
            if left:
                _, left = await asyncio.wait(left, timeout=seconds)
        return len(left)

    async def _run(self) -> None:
        task = cast("Task", asyncio.current_task())
        while not self._closed:
            if not self._waiting:
                await self._woken_again(task)
                continue
            held = self._waiting.popleft()
            self._wake_one()
            await self._work(held, task)
            if time.monotonic() >= self._turn_ends:
                self._let_a_turn_begin()
                await asyncio.sleep(0)

    def _let_a_turn_begin(self) -> None:
        """Begin a turn of all slots once the event loop has done what else is to be done now."""
        if not self._turn_comes:
            self._turn_comes = True
            asyncio.get_running_loop().call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        self._turn_comes = False
        self._turn_ends = time.monotonic() + TURN_SECONDS

    def _wake_one(self) -> None:
        """Let one more slot see to what waits, if there is one and few are just coming."""
        if self._waiting and self._idle and self._woken < WOKEN_AT_ONCE:
            self._woken += 1
            self._idle.pop().set_result(None)

    async def _woken_again(self, task: Task) -> None:
        idle = task.get_loop().create_future()
        self._idle.append(idle)
        try:
            await idle
        finally:
            if idle.cancelled():
                self._idle.remove(idle)
            else:
                self._woken -= 1
