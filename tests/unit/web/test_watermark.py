"""When the queue is counted, and what passes in between."""

from __future__ import annotations

import asyncio

from retryd.domain.errors import DatabaseUnavailable
from retryd.web.watermark import Watermark


class Counted:
    """A queue of a known depth, and a clock; counts how often it was counted."""

    def __init__(self, depth: int = 0) -> None:
        self.depth = depth
        self.now = 0.0
        self.times = 0
        self.away = False

    async def queue_depth(self, at_most: int) -> int:
        self.times += 1
        await asyncio.sleep(0)
        if self.away:
            raise DatabaseUnavailable
        return min(self.depth, at_most)

    def clock(self) -> float:
        return self.now


async def test_what_came_since_is_added_and_the_queue_is_counted_seldom() -> None:
    queue = Counted(10)
    mark = Watermark(queue, 100, queue.clock)
    assert [await mark.has_room(20) for _ in range(4)] == [True] * 4
    assert queue.times == 1
    queue.now += 16
    queue.depth = 0
    assert await mark.has_room(20)
    assert queue.times == 2


async def test_a_full_queue_is_counted_once_a_second_until_there_is_room() -> None:
    queue = Counted(100)
    mark = Watermark(queue, 100, queue.clock)
    assert not any([await mark.has_room(1) for _ in range(50)])
    assert queue.times == 1
    queue.depth = 50
    assert not await mark.has_room(1)
    queue.now += 1
    assert await mark.has_room(50)
    assert not await mark.has_room(1)
    assert queue.times == 2


async def test_many_who_ask_at_once_count_once() -> None:
    queue = Counted(100)
    mark = Watermark(queue, 100, queue.clock)
    assert not any(await asyncio.gather(*(mark.has_room(1) for _ in range(20))))
    assert queue.times == 1


async def test_while_postgresql_is_away_all_may_pass() -> None:
    queue = Counted(100)
    queue.away = True
    mark = Watermark(queue, 100, queue.clock)
    assert await mark.has_room(100)
    queue.away = False
    queue.now += 1.1
    assert not await mark.has_room(1)
    assert queue.times == 2


async def test_without_a_limit_nothing_is_counted() -> None:
    queue = Counted(100)
    assert await Watermark(queue, None, queue.clock).has_room(10**9)
    assert queue.times == 0
