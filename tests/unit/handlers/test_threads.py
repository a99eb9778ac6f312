"""Threads that run beyond their time are counted, whether or not somebody waits for them."""

from __future__ import annotations

import asyncio
import threading

import pytest

import retryd
from retryd.client.app import Registration
from retryd.domain.outcome import Success
from retryd.handlers.python import PythonHandler
from retryd.handlers.threads import Threads
from tests.unit.handlers.attempts import LONG, a_retry
from tests.waiting import until


async def test_threads_beyond_their_time_are_counted_until_they_end() -> None:
    threads, go_on = Threads(), threading.Event()

    def job(_: retryd.Retry) -> None:
        go_on.wait(LONG)

    late, other = (PythonHandler(Registration(n, (), job), threads) for n in ("late", "other"))
    try:
        running = [
            asyncio.create_task(late.run(a_retry(), 0.01)),
            asyncio.create_task(other.run(a_retry(), 0.01)),
            asyncio.create_task(other.run(a_retry(), LONG)),
        ]
        await until(lambda: threads.overrunning() == 2)
        running[0].cancel()  # the runner gave it up, and its slot is free
        await asyncio.wait(running[:1])
        assert threads.overrunning() == 2
    finally:
        go_on.set()
    assert await asyncio.gather(*running[1:]) == [Success(), Success()]
    await until(lambda: threads.overrunning() == 0)


async def test_a_thread_within_its_time_does_not_count() -> None:
    threads, started, go_on = Threads(), threading.Event(), threading.Event()

    def call() -> str:
        started.set()
        go_on.wait(LONG)
        return "done"

    ended = threads.start(call, name="patient", timeout_seconds=LONG)
    await until(started.is_set)
    assert threads.overrunning() == 0
    go_on.set()
    assert await ended == "done"


async def test_what_a_thread_raises_reaches_who_waits() -> None:
    def call() -> None:
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        await Threads().start(call, name="broken")


def test_a_thread_that_outlives_its_loop_ends_in_peace() -> None:
    threads, go_on = Threads(), threading.Event()

    async def leave() -> None:
        threads.start(lambda: go_on.wait(LONG), name="late", timeout_seconds=0)

    asyncio.run(leave())
    thread = next(each for each in threading.enumerate() if each.name == "late")
    go_on.set()
    thread.join(LONG)
    assert threads.overrunning() == 0
