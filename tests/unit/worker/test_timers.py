"""Many timers on one of the event loop: each rings in its time, none that was cancelled."""

from __future__ import annotations

import asyncio
import time

from hypothesis import given
from hypothesis import strategies as st

from retryd.worker.timers import SLACK, Timers
from tests.waiting import until

SECONDS = st.floats(-0.01, 0.03)


@given(st.lists(st.tuples(SECONDS, st.booleans()), max_size=40))
def test_what_is_not_cancelled_rings_once_not_early_and_in_order(
    asked: list[tuple[float, bool]],
) -> None:
    async def ring() -> None:
        timers = Timers()
        now = time.monotonic()
        rung: list[tuple[float, float]] = []
        set_ = [
            timers.after(now, seconds, lambda s=seconds: rung.append((s, time.monotonic())))  # type: ignore[misc]
            for seconds, _ in asked
        ]
        for timer, (_, cancelled) in zip(set_, asked, strict=True):
            if cancelled:
                timers.cancel(timer)
                timers.cancel(timer)
        kept = (seconds for seconds, cancelled in asked if not cancelled)
        wanted = sorted(kept, key=lambda seconds: now + seconds)
        await until(lambda: len(rung) >= len(wanted))
        assert [seconds for seconds, _ in rung] == wanted
        assert all(at >= now + seconds for seconds, at in rung)

    asyncio.run(ring())


async def test_a_timer_that_is_set_by_another_one_s_ring_rings_too() -> None:
    timers = Timers()
    rung: list[str] = []

    def first() -> None:
        rung.append("first")
        timers.after(time.monotonic(), 0.01, lambda: rung.append("second"))

    timers.after(time.monotonic(), 0.01, first)
    await until(lambda: rung == ["first", "second"])


async def test_one_that_runs_long_keeps_none_of_the_many_that_were_cancelled_since() -> None:
    timers = Timers()
    timers.after(time.monotonic(), 3_600, lambda: None)
    for _ in range(100_000):
        timers.cancel(timers.after(time.monotonic(), 30, lambda: None))
    assert timers.kept <= SLACK + 4
