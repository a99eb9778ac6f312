"""Events that come one by one go together, and each is answered for itself."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest

from retryd.domain.errors import DatabaseUnavailable, Refused, RowLocked
from retryd.store.intake import LOCK_SECONDS, Intake
from retryd.web import gatherer as gathering
from retryd.web.gatherer import CALLS, MOST, Gatherer


class Slow:
    """Takes events when it is told to go on; refuses those that are bad, as a whole batch."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.go_on = asyncio.Event()
        self.at_once = self.most_at_once = 0
        self.away = self.forgetful = False
        self.blocked = 0
        self.patience: list[float] = []

    async def capture_checked(self, events: str, *, lock_seconds: float) -> list[dict[str, Any]]:
        self.patience.append(lock_seconds)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        batch = json.loads(events)
        self.batches.append(batch)
        await self.go_on.wait()
        self.at_once -= 1
        if self.away:
            raise DatabaseUnavailable
        if "bad" in batch:
            message = "event 0: it is bad"
            raise Refused(message)
        if "blocked" in batch:
            self.blocked += 1
            raise RowLocked
        if self.forgetful:
            batch = batch[:-1]
        return [{"index": n, "outcome": event, "ids": []} for n, event in enumerate(batch)]


async def test_what_waits_while_calls_are_under_way_goes_with_the_next_one() -> None:
    slow = Slow()
    gatherer = Gatherer(cast("Intake", slow))
    captures = [asyncio.create_task(gatherer.capture(json.dumps(str(n)))) for n in range(500)]
    while len(slow.batches) < CALLS:
        await asyncio.sleep(0)
    slow.go_on.set()
    rows = await asyncio.gather(*captures)
    assert [row["outcome"] for row in rows] == [str(n) for n in range(500)]
    assert max(map(len, slow.batches)) == MOST
    assert slow.most_at_once == CALLS
    assert len(slow.batches) <= 10


async def test_one_that_is_refused_is_refused_alone() -> None:
    slow = Slow()
    slow.go_on.set()
    gatherer = Gatherer(cast("Intake", slow))
    events = ["good", "bad", "good", "good", "bad", *["good"] * 20]
    ended = await asyncio.gather(
        *(gatherer.capture(json.dumps(event)) for event in events), return_exceptions=True
    )
    assert [isinstance(each, Refused) for each in ended] == [event == "bad" for event in events]


async def test_one_that_is_blocked_is_so_alone() -> None:
    slow = Slow()
    slow.go_on.set()
    gatherer = Gatherer(cast("Intake", slow))
    events = [*["good"] * 50, "blocked", *["good"] * 49]
    ended = await asyncio.gather(
        *(gatherer.capture(json.dumps(event)) for event in events), return_exceptions=True
    )
    assert [isinstance(each, RowLocked) for each in ended] == [each == "blocked" for each in events]
    assert slow.blocked <= 8
    assert set(slow.patience) == {gathering.SHORT_SECONDS}
    await gatherer.capture('"good"')
    assert slow.patience[-1] == LOCK_SECONDS


async def test_where_each_call_takes_long_a_group_is_not_divided_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gathering, "DIVIDING_SECONDS", 0)
    slow = Slow()
    slow.go_on.set()
    gatherer = Gatherer(cast("Intake", slow))
    ended = await asyncio.gather(
        *(gatherer.capture('"blocked"') for _ in range(50)), return_exceptions=True
    )
    assert all(isinstance(each, RowLocked) for each in ended)
    assert slow.blocked == 1


async def test_an_answer_with_a_row_too_few_is_told_to_each_and_strands_nobody() -> None:
    slow = Slow()
    slow.go_on.set()
    slow.forgetful = True
    gatherer = Gatherer(cast("Intake", slow))
    async with asyncio.timeout(5):
        ended = await asyncio.gather(
            *(gatherer.capture('"good"') for _ in range(250)), return_exceptions=True
        )
    assert {type(each) for each in ended} == {ValueError}
    slow.forgetful = False
    assert (await gatherer.capture('"good"'))["outcome"] == "good"


async def test_a_call_that_is_broken_off_strands_nobody() -> None:
    slow = Slow()
    gatherer = Gatherer(cast("Intake", slow))
    captures = [asyncio.create_task(gatherer.capture('"good"')) for _ in range(500)]
    while len(slow.batches) < CALLS:
        await asyncio.sleep(0)
    for task in asyncio.all_tasks():
        if task.get_name() == "capture":
            task.cancel()
    async with asyncio.timeout(5):
        ended = await asyncio.gather(*captures, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended)


async def test_an_outage_is_told_to_each_and_the_next_one_is_tried() -> None:
    slow = Slow()
    slow.go_on.set()
    slow.away = True
    gatherer = Gatherer(cast("Intake", slow))
    ended = await asyncio.gather(
        *(gatherer.capture('"good"') for _ in range(10)), return_exceptions=True
    )
    assert all(isinstance(each, DatabaseUnavailable) for each in ended)
    slow.away = False
    assert (await gatherer.capture('"good"'))["outcome"] == "good"


async def test_who_goes_away_takes_nobody_along() -> None:
    slow = Slow()
    gatherer = Gatherer(cast("Intake", slow))
    captures = [asyncio.create_task(gatherer.capture(json.dumps(str(n)))) for n in range(10)]
    await asyncio.sleep(0)
    captures[3].cancel()
    slow.go_on.set()
    ended = await asyncio.gather(*captures, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in ended].count(True) == 1


@pytest.mark.parametrize("size", [1_000_000, 5_000_000])
async def test_large_events_go_in_smaller_calls(size: int) -> None:
    slow = Slow()
    slow.go_on.set()
    gatherer = Gatherer(cast("Intake", slow))
    await asyncio.gather(*(gatherer.capture(json.dumps("x" * size)) for _ in range(10)))
    assert max(sum(map(len, batch)) for batch in slow.batches) <= max(4 * 1024 * 1024, size)
