"""Runs attempts: a fixed number of slots, each one attempt at a time."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING

from retryd.domain.decide import decide
from retryd.domain.decision import Decided, Release
from retryd.domain.outcome import Failure, failure_of
from retryd.domain.policy import choose
from retryd.worker.slots import Slots
from retryd.worker.timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from retryd.domain.outcome import Outcome
    from retryd.domain.policy import Policy
    from retryd.domain.retry import Retry
    from retryd.ports import Handler, Observer
    from retryd.worker.leases import Held, Leases
    from retryd.worker.settler import Settler
    from retryd.worker.slots import Task

ABORT_SECONDS = (5.0, 1.0)
CHOICES = 1_024

logger = logging.getLogger("retryd.worker")


class Runner:
    """Starts what was claimed, in order, in `slots` tasks; as many again may wait for a slot.

    `on_room` is called when there is room for a claim worth its while. An attempt that is not over
    `grace_seconds` after its timeout loses its lease, and with it its slot. One whose lease is lost
    is cancelled and given back, if it can be stopped; what it reports otherwise comes too late. A
    retry whose next loss would be its last runs alone: if it kills workers, it takes nobody along.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        policies: Iterable[Policy],
        leases: Leases,
        settler: Settler,
        observer: Observer,
        *,
        slots: int,
        grace_seconds: float,
        process_ends: bool,
        on_room: Callable[[], None],
    ) -> None:
        self._handlers = handlers
        known = tuple(policies)
        self._policy_of = lru_cache(CHOICES)(lambda operation, name: choose(known, operation, name))
        self._leases = leases
        self._settler = settler
        self._observer = observer
        self._slots = Slots(slots, self._work)
        self._most = 2 * slots
        self._worth_claiming = (slots + 1) // 2
        self._grace_seconds = grace_seconds
        self._process_ends = process_ends
        self._on_room = on_room
        self._timers = Timers()
        self._running = 0
        self._alone = False
        self._closing = False
        self._aborted = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._nothing_comes = asyncio.Event()
        self._nothing_comes.set()

    def start(self) -> None:
        """Open the slots."""
        self._slots.start()

    @property
    def room(self) -> int:
        """How many retries to claim: free slots and one waiting behind each; 0 if that is few."""
        room = self._most - self._running - self._slots.waiting
        return room if room >= self._worth_claiming and not self._alone else 0

    @contextmanager
    def receiving(self) -> Iterator[None]:
        """Know that retries are on their way, which are put before the context ends."""
        self._nothing_comes.clear()
        try:
            yield
        finally:
            self._nothing_comes.set()

    def put(self, claimed: Iterable[Held]) -> None:
        """Run these as slots get free."""
        self._slots.put(claimed)
        if self._alone or self._closing:
            self.release_waiting()

    def close(self) -> None:
        """Start nothing any more: what has not started, and what is put from now on, goes back."""
        self._closing = True
        self.release_waiting()

    def release_waiting(self) -> None:
        """Give back what has not started."""
        for held in self._slots.take_back():
            self._release(held.retry)

    async def finished(self) -> None:
        """Wait until no attempt runs."""
        await self._idle.wait()

    async def abort(self) -> int:
        """Cancel the attempts that still run, which gives them back, and close the slots.

        Returns how many they were. One that does not end is left to its lease: given back, it
        could run twice at once. A plain function, which cannot be stopped, is given back only if
        it ends with the process.
        """
        running = self._running
        self._aborted = True
        # The second cancellation ends a program by force.
        if left := await self._slots.close(ABORT_SECONDS):
            logger.warning("attempts_left_running", extra={"attempts": left})
        return running

    async def _work(self, held: Held, task: Task) -> None:
        retry = held.retry
        policy = self._policy_of(retry.operation, retry.policy)
        if retry.lost_attempts >= max(1, policy.max_lost_attempts - 1):
            await self._run_alone(held, policy, task)
        else:
            await self._run(held, policy, task)

    async def _run(self, held: Held, policy: Policy, task: Task) -> None:
        self._running += 1
        self._idle.clear()
        try:
            await self._attempt(held, policy, task)
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()
            if self.room == self._worth_claiming:
                self._on_room()

    async def _run_alone(self, held: Held, policy: Policy, task: Task) -> None:
        """Give back what waits or comes, let what runs end, and run this with nothing in hand."""
        if self._alone:
            self._release(held.retry)
            return
        self._alone = True
        try:
            await self._all_others_gone(held.retry)
            if self._closing:
                self._release(held.retry)
            else:
                await self._run(held, policy, task)
        finally:
            self._alone = False
            self._on_room()

    async def _all_others_gone(self, retry: Retry) -> None:
        try:
            self.release_waiting()
            await self._nothing_comes.wait()
            await self._idle.wait()
            await self._settler.emptied()
        except asyncio.CancelledError:
            self._release(retry)
            raise

    def _release(self, retry: Retry) -> None:
        self._settler.put(Decided(retry, None, Release()))

    async def _attempt(self, held: Held, policy: Policy, task: Task) -> None:
        """Make one attempt and hand on what follows from it."""
        retry = held.retry
        started = time.monotonic()
        if started >= held.deadline:
            if self._leases.holds(held):
                self._release(retry)
            return
        handler = self._handlers[retry.handler]
        keep_seconds = policy.timeout_seconds + self._grace_seconds
        stop = task.cancel if handler.stoppable else None
        if not self._leases.start(held, started, keep_seconds, stop):
            return
        if held.due_at is not None:
            self._observer.started(retry.handler, started - held.due_at)
        if handler.stoppable:
            timer = self._timers.after(started, policy.timeout_seconds, held.time_out)
        else:
            timer = self._timers.after(started, keep_seconds, task.cancel)
        try:
            outcome: Outcome | None = await handler.run(retry, policy.timeout_seconds)
        except asyncio.CancelledError as error:
            outcome = self._stopped(held, policy, handler, error)
        except Exception as error:  # noqa: BLE001 - a handler's fault is data, and the slot lives on
            outcome = failure_of(error)
        finally:
            self._timers.cancel(timer)
        if task.cancelling():
            await shake_off(task)
        if outcome is not None:
            decision = decide(retry, outcome, policy, random.random())
            self._settler.put(Decided(retry, outcome, decision, time.monotonic() - started))

    def _stopped(
        self, held: Held, policy: Policy, handler: Handler, error: BaseException
    ) -> Outcome | None:
        """Tell why an attempt was cancelled; None if it is lost or was given back."""
        retry = held.retry
        if self._aborted and (handler.stoppable or self._process_ends):
            self._release(retry)
            return None
        if not self._leases.holds(held) or not handler.stoppable:
            logger.warning(
                "attempt_given_up",
                extra={
                    "retry": retry.id,
                    "handler": retry.handler,
                    "event_type": retry.event_type,
                    "attempt": retry.attempt,
                },
            )
            self._leases.drop(retry)
            if handler.stoppable:  # else it still runs, and must not run twice at once
                self._release(retry)
            return None
        if held.timed_out:
            return Failure("TimeoutError", f"no end within {policy.timeout_seconds:g} s")
        return failure_of(error)  # it was not us who cancelled


async def shake_off(task: Task) -> None:
    """Let a cancellation that a handler swallowed end with its attempt: the next is another's."""
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)  # where one that is still on its way arrives
    while task.uncancel():
        pass
