"""Runs attempts: a fixed number of slots, each one attempt at a time."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, cast

from retryd.domain.decide import decide
from retryd.domain.decision import Decided, Release
from retryd.domain.policy import choose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from retryd.domain.policy import Policy
    from retryd.domain.retry import Retry
    from retryd.ports import Handler
    from retryd.worker.leases import Leases
    from retryd.worker.settler import Settler

logger = logging.getLogger("retryd.worker")


class Runner:
    """Starts what was claimed, in order, in `slots` tasks; as many again may wait for a slot.

    `on_room` is called when the waiting ones are down to half.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        policies: Iterable[Policy],
        leases: Leases,
        settler: Settler,
        *,
        slots: int,
        on_room: Callable[[], None],
    ) -> None:
        self._handlers = handlers
        self._policies = tuple(policies)
        self._leases = leases
        self._settler = settler
        self._slots = slots
        self._on_room = on_room
        self._waiting: asyncio.Queue[Retry] = asyncio.Queue()
        self._running = 0
        self._aborted = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Open the slots."""
        self._tasks = [
            asyncio.create_task(self._slot(), name=f"slot-{number}")
            for number in range(self._slots)
        ]

    @property
    def room(self) -> int:
        """How many retries may be claimed now: free slots, and one waiting behind each slot."""
        waiting = self._waiting.qsize()
        return 0 if waiting > self._slots // 2 else 2 * self._slots - self._running - waiting

    def put(self, retries: Iterable[Retry]) -> None:
        """Run these as slots get free."""
        for retry in retries:
            self._waiting.put_nowait(retry)

    def release_waiting(self) -> int:
        """Give back what has not started; returns how many."""
        released = self._waiting.qsize()
        while not self._waiting.empty():
            self._settler.put(Decided(self._waiting.get_nowait(), None, Release()))
        return released

    async def finished(self) -> None:
        """Wait until no attempt runs."""
        await self._idle.wait()

    async def abort(self) -> int:
        """Cancel the attempts that still run, which gives them back, and close the slots.

        Returns how many they were.
        """
        running = self._running
        self._aborted = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return running

    async def _slot(self) -> None:
        while True:
            retry = await self._waiting.get()
            if self._waiting.qsize() == self._slots // 2:
                self._on_room()
            self._running += 1
            self._idle.clear()
            try:
                await self._attempt(retry)
            finally:
                self._running -= 1
                if not self._running:
                    self._idle.set()
                if self._running + self._waiting.qsize() == 0:
                    self._on_room()

    async def _attempt(self, retry: Retry) -> None:
        """Make one attempt and hand on what follows from it."""
        held = self._leases.get(retry)
        if held is None:
            return
        started = time.monotonic()
        if started >= held.deadline:
            self._settler.put(Decided(retry, None, Release()))
            return
        task = cast("asyncio.Task[None]", asyncio.current_task())
        held.on_lost = task.cancel
        policy = choose(self._policies, retry.operation, retry.policy)
        try:
            outcome = await self._handlers[retry.handler].run(retry, policy.timeout_seconds)
        except asyncio.CancelledError:
            if self._aborted:
                self._settler.put(Decided(retry, None, Release()))
                raise
            task.uncancel()
            logger.warning("attempt_lost", extra={"retry": retry.id, "attempt": retry.attempt})
            return
        decision = decide(retry, outcome, policy, random.random())
        self._settler.put(Decided(retry, outcome, decision, time.monotonic() - started))
