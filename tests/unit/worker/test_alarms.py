"""Alarms: whoever puts something back is sure to be woken when it is due."""

from __future__ import annotations

import asyncio
import random

from retryd.worker.alarms import Alarms
from tests.waiting import until


async def test_each_instant_that_was_set_wakes_in_whatever_order_they_were_set() -> None:
    loop = asyncio.get_running_loop()
    woken: list[float] = []
    alarms = Alarms(lambda: woken.append(loop.time()))
    draw = random.Random(7)
    due = [loop.time() + draw.uniform(0, 0.3) for _ in range(200)]
    for at in due:
        alarms.set(at - loop.time())
    await until(lambda: woken and woken[-1] >= max(due))
    for at in due:
        assert any(at <= one < at + 0.1 for one in woken), "nobody woke for it"
    assert len(woken) <= len(due)


async def test_an_instant_that_is_set_while_it_rings_is_not_forgotten() -> None:
    rung = 0

    def ring() -> None:
        nonlocal rung
        rung += 1
        if rung < 20:
            alarms.set(0.001)

    alarms = Alarms(ring)
    alarms.set(0)
    await until(lambda: rung == 20)


async def test_instants_within_a_millisecond_are_one() -> None:
    rung = 0

    def ring() -> None:
        nonlocal rung
        rung += 1

    alarms = Alarms(ring)
    for _ in range(10_000):
        alarms.set(0)
    await until(lambda: rung)
    assert rung < 1_000
