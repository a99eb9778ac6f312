"""A fixed number of slots: all that is put is worked on once, in order, by so many at once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from retryd.testing import make_retry
from retryd.worker.leases import Held
from retryd.worker.slots import TURN_SECONDS, Slots
from tests.waiting import until

if TYPE_CHECKING:
    from retryd.worker.slots import Task


def held(number: int) -> Held:
    return Held(make_retry(id=1 + number), 0.0, 0.0)


@given(
    st.integers(1, 20),
    st.lists(st.lists(st.sampled_from([None, 0.0, 0.001]), max_size=30), max_size=4),
)
def test_all_is_worked_on_once_in_order_and_by_no_more_than_there_are_slots(
    count: int, batches: list[list[float | None]]
) -> None:
    pauses = [pause for batch in batches for pause in batch]
    begun: list[int] = []
    ended: list[int] = []
    most = 0

    async def work(one: Held, _: Task) -> None:
        nonlocal most
        begun.append(one.retry.id - 1)
        most = max(most, len(begun) - len(ended))
        pause = pauses[one.retry.id - 1]
        if pause is not None:
            await asyncio.sleep(pause)
        ended.append(one.retry.id - 1)

    async def run() -> None:
        slots = Slots(count, work)
        slots.start()
        number = 0
        for batch in batches:
            slots.put([held(number + nth) for nth in range(len(batch))])
            number += len(batch)
            await asyncio.sleep(0)
        await until(lambda: len(ended) == len(pauses))
        assert await slots.close([1.0]) == 0

    asyncio.run(run())
    assert begun == list(range(len(pauses)))
    assert sorted(ended) == begun
    assert most <= count


async def test_as_many_are_worked_on_at_once_as_there_are_slots() -> None:
    go_on = asyncio.Event()
    begun: list[int] = []

    async def work(one: Held, _: Task) -> None:
        begun.append(one.retry.id)
        await go_on.wait()

    slots = Slots(50, work)
    slots.start()
    slots.put([held(number) for number in range(60)])
    await until(lambda: len(begun) == 50)
    assert slots.waiting == 10
    go_on.set()
    await until(lambda: len(begun) == 60)
    assert await slots.close([1.0]) == 0


async def test_work_that_never_waits_leaves_others_their_turn() -> None:
    done = 0

    async def work(_: Held, __: Task) -> None:
        nonlocal done
        time.sleep(TURN_SECONDS / 4)
        done += 1

    slots = Slots(4, work)
    slots.start()
    slots.put([held(number) for number in range(200)])
    seen = []
    while done < 200:
        seen.append(done)
        await asyncio.sleep(0)
    assert len(seen) > 10
    assert await slots.close([1.0]) == 0


async def test_what_waits_can_be_taken_back_and_what_works_is_cancelled() -> None:
    cancelled: list[int] = []

    async def work(one: Held, _: Task) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(one.retry.id)
            raise

    slots = Slots(1, work)
    slots.start()
    slots.put([held(0), held(1)])
    await until(lambda: slots.waiting == 1)
    assert [one.retry.id for one in slots.take_back()] == [2]
    assert await slots.close([1.0]) == 0
    assert cancelled == [1]


async def test_work_that_will_not_end_is_counted() -> None:
    end = asyncio.Event()

    async def work(_: Held, __: Task) -> None:
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                continue

    slots = Slots(2, work)
    slots.start()
    slots.put([held(1)])
    await until(lambda: slots.waiting == 0)
    assert await slots.close([0.01, 0.01]) == 1
    end.set()
