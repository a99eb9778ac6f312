"""A thread with a loop of its own: it starts, is told to end, is waited for, is left behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from retryd.own_thread import OwnThread
from tests.waiting import until

NAME = "own-thread-of-a-test"


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """What a blocked thread waits for; it comes at the end of the test at the latest."""
    event = threading.Event()
    yield event
    event.set()


def alive() -> bool:
    """Tell whether the thread of a test is there."""
    return NAME in {thread.name for thread in threading.enumerate()}


async def until_stopped(stopping: asyncio.Event) -> None:
    """Work until told to end."""
    await stopping.wait()


async def test_the_work_goes_on_while_the_loop_that_started_it_is_blocked() -> None:
    working = threading.Event()

    async def work(stopping: asyncio.Event) -> None:
        working.set()
        await stopping.wait()

    thread = OwnThread(NAME, work)
    thread.start()
    assert working.wait(10), "this wait blocks the loop of the test"
    assert alive()
    await thread.stop(10)
    await until(lambda: not alive())


async def test_joining_ends_the_work_and_its_thread_and_may_be_repeated() -> None:
    thread = OwnThread(NAME, until_stopped)
    thread.start()
    thread.join()
    assert not alive()
    thread.join()
    await thread.stop(0)


async def test_joining_leaves_behind_what_does_not_end_in_time(release: threading.Event) -> None:
    async def work(_: asyncio.Event) -> None:
        release.wait()

    thread = OwnThread(NAME, work)
    thread.start()
    thread.join(0.05)
    assert alive()
    release.set()
    thread.join()


async def test_who_waits_hears_of_an_end_that_came_by_itself() -> None:
    async def work(_: asyncio.Event) -> None:
        """Do nothing."""

    thread = OwnThread(NAME, work)
    thread.start()
    async with asyncio.timeout(10):
        await thread.ended()
    thread.join()


async def test_who_gives_up_waiting_does_not_end_the_work() -> None:
    thread = OwnThread(NAME, until_stopped)
    thread.start()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await thread.ended()
    assert alive()
    await thread.stop(10)
    await until(lambda: not alive())


async def test_work_that_does_not_end_in_time_is_left_behind_and_told(
    release: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(_: asyncio.Event) -> None:
        release.wait()

    thread = OwnThread(NAME, work)
    thread.start()
    await thread.stop(0.05)
    assert alive()
    [told] = [each for each in caplog.records if each.getMessage() == "thread_left_running"]
    assert vars(told)["name_of_thread"] == NAME
    release.set()
    await until(lambda: not alive())
