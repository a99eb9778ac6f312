"""Claims begin where the last one ended: what comes in behind them is found all the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import pairwise

import pytest
from typing_extensions import override

import retryd
from retryd.domain.decision import Complete, Decided, Release, Reschedule
from retryd.domain.outcome import Failure, Success
from retryd.handlers.python import PythonHandler
from retryd.ports import Claimed, Lane
from retryd.store.queue import Queue
from retryd.worker.claimer import LOOK_SECONDS, Claimer
from retryd.worker.leases import Leases
from retryd.worker.runner import Runner
from retryd.worker.settler import Settler
from tests.postgres import Connection
from tests.waiting import until
from tests.worker.conftest import QUICK, Bench

HANDLERS = ("bill", "mail", "post")
WAITING = "select id from retryd.retry_queue where state = 'pending'"
LOST = "select retryd.acquire_retry_batch('lost', 2, '1 s', '{bill,mail,post}')"
LAPSED = """
    update retryd.retry_queue set lease_expires_at = retryd.now() - interval '1 s'
    where claimed_by = 'lost'
"""
PAST = "retryd.now() - random() * interval '1 h'"


class Hands:
    """A claimer whose retries are held until we settle them; none of its services runs."""

    def __init__(self, bench: Bench, queue: Queue) -> None:
        self.bench = bench
        self.leases = Leases(60)
        self.queue = queue
        self.settler = Settler(self.queue, self.leases, bench.metrics, lambda _: None)
        app = retryd.App()
        for name in HANDLERS:
            app.handler(f"{name}.*", name=name)(self.nothing)
        handlers = [PythonHandler(registration) for registration in app.handlers.values()]
        self.definitions = [handler.definition for handler in handlers]
        runner = Runner(
            {handler.name: handler for handler in handlers},
            [QUICK],
            self.leases,
            self.settler,
            bench.metrics,
            slots=500,
            grace_seconds=30,
            process_ends=False,
            on_room=lambda: None,
        )
        self.claimer = Claimer(
            self.queue,
            runner,
            self.leases,
            bench.metrics,
            HANDLERS,
            batch_size=5,
            poll_seconds=60,
        )

    async def nothing(self, retry: retryd.Retry) -> None:
        """Never run: there is no slot."""

    async def register(self) -> None:
        await self.queue.publish_handlers(self.definitions)

    async def claim(self) -> list[retryd.Retry]:
        """Make one step; returns what it brought, in the order of its claims."""
        before = {held.retry.claim_token for held in self.leases.all()}
        await self.claimer.step()
        return [held.retry for held in self.leases.all() if held.retry.claim_token not in before]

    async def settle(self, dice: random.Random) -> None:
        """Settle half of what is held, in every way."""
        for held in self.leases.all():
            match dice.randrange(6):
                case 0 | 1:
                    self.settler.put(Decided(held.retry, Success(), Complete(), 0.1))
                case 2 if held.retry.attempt < 3:
                    delay = dice.choice((0, 0.05))
                    decision = Reschedule(delay)
                    self.settler.put(Decided(held.retry, Failure("OSError"), decision, 0.1))
                case 2 | 3:
                    self.settler.put(Decided(held.retry, None, Release()))
        while await self.settler.step() == 0:
            pass


class Mischief:
    """What others do meanwhile: producers, operators, workers that are lost."""

    def __init__(self, hands: Hands, late: Connection, seed: int) -> None:
        self.hands = hands
        self.now, self.late = hands.bench.connection, late
        self.dice = random.Random(seed)
        self.moves: list[Callable[[], Awaitable[object]]] = [
            lambda: self.capture(self.now),
            lambda: self.capture(self.late),
            self.commit_late,
            self.hurry,
            lambda: self.call("pause_handler", self.dice.choice(HANDLERS)),
            lambda: self.call("resume_handler", self.dice.choice(HANDLERS)),
            self.lose,
            self.rescue,
            lambda: hands.settle(self.dice),
        ]

    async def move(self) -> None:
        await self.dice.choice(self.moves)()

    async def end(self) -> None:
        """Leave nothing that stands in the way of a claim."""
        await self.commit_late()
        await self.rescue()
        for name in HANDLERS:
            await self.call("resume_handler", name)

    async def capture(self, connection: Connection) -> None:
        """Capture a few retries, some of them keyed, some due long ago, some not yet."""
        for _ in range(self.dice.randrange(1, 6)):
            due = self.dice.choice(("retryd.now()", PAST, "retryd.now() + interval '0.1 s'"))
            await connection.execute(
                "select retryd.capture_failure($1, priority => $2, ordering_key => $3,"
                f" not_before => {due})",
                f"{self.dice.choice(HANDLERS)}.x.failed",
                self.dice.choice((0, 5, 9)),
                self.dice.choice((None, None, "a", "b")),
            )

    async def commit_late(self) -> None:
        """Commit what the other connection captured, and begin anew."""
        await self.late.execute("commit")
        await self.late.execute("begin")

    async def hurry(self) -> None:
        for row in await self.now.fetch(WAITING):
            await self.call("retry_now", row["id"])

    async def lose(self) -> None:
        await self.now.execute(LOST)
        await self.now.execute(LAPSED)

    async def rescue(self) -> None:
        for retry in await self.hands.queue.rescue_retries(1000, 60, None):
            self.hands.settler.put(Decided(retry, None, Release()))
        while await self.hands.settler.step() == 0:
            pass

    async def call(self, function: str, argument: object) -> None:
        await self.now.execute(f"select retryd.{function}($1)", argument)


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_comes_in_behind_the_claims_is_found_within_the_time_of_a_look(
    seed: int, bench: Bench
) -> None:
    hands = Hands(bench, Queue(bench.pool, "hands"))
    await hands.register()
    late = await bench.database.connect()
    await late.execute("begin")
    mischief = Mischief(hands, late, seed)
    for _ in range(60):
        await mischief.move()
        priorities = [retry.priority for retry in await hands.claim()]
        falls = [one for one, next_ in pairwise(priorities) if next_ < one]
        assert len(falls) <= 1, "a step claims twice at most, and each claim keeps to the order"
    await mischief.end()

    async def all_claimed() -> bool:
        await hands.claim()
        return not await bench.connection.fetch(WAITING)

    await until(all_claimed, within=LOOK_SECONDS)
    await late.execute("rollback")


async def test_what_is_urgent_goes_first_in_all_lanes_that_are_known(bench: Bench) -> None:
    hands = Hands(bench, Queue(bench.pool, "hands"))
    await hands.register()
    for priority in (9, 5, 0, 5):
        for name in HANDLERS:
            await bench.capture(f"{name}.x.failed", priority=priority)
    claimed: list[int] = []

    async def all_claimed() -> bool:
        claimed.extend(retry.priority for retry in await hands.claim())
        return len(claimed) == 12

    await until(all_claimed)
    assert claimed == sorted(claimed)


async def test_no_handler_starves_beside_one_with_a_crowd(bench: Bench) -> None:
    hands = Hands(bench, Queue(bench.pool, "hands"))
    await hands.register()
    for _ in range(200):
        await bench.capture("mail.x.failed")
    rare = {await bench.capture("bill.x.failed"), await bench.capture("post.x.failed")}

    async def both_claimed() -> bool:
        found = {retry.id for retry in await hands.claim()}
        rare.difference_update(found)
        return not rare

    await until(both_claimed)
    assert len(hands.leases) < 200


class NotingQueue(Queue):
    """Notes what it is asked for."""

    asked: list[str]

    @override
    async def claim_retries(
        self, batch_size: int, lease_seconds: float, lanes: Sequence[Lane]
    ) -> Claimed:
        claimed = await super().claim_retries(batch_size, lease_seconds, lanes)
        if lanes:
            self.asked.append(f"claimed {len(claimed.retries)}")
        return claimed

    @override
    async def look_ahead(
        self, handlers: Sequence[str], asleep_seconds: float | None
    ) -> tuple[list[tuple[Lane, float]], datetime]:
        self.asked.append("looked")
        return await super().look_ahead(handlers, asleep_seconds)


async def test_what_comes_into_a_lane_that_is_known_is_claimed_without_a_look(
    bench: Bench,
) -> None:
    queue = NotingQueue(bench.pool, "hands")
    hands = Hands(bench, queue)
    await hands.register()
    for known in (False, True):
        queue.asked = []
        await bench.capture("mail.x.failed")
        await hands.claim()
        assert queue.asked[0] == ("claimed 1" if known else "looked")
    assert len(hands.leases) == 2


class DearLooks(Queue):
    """PostgreSQL takes long to look; `meanwhile` is called when it has read, and not answered."""

    async def meanwhile(self) -> None:
        """Do nothing."""

    @override
    async def look_ahead(
        self, handlers: Sequence[str], asleep_seconds: float | None
    ) -> tuple[list[tuple[Lane, float]], datetime]:
        found = await super().look_ahead(handlers, asleep_seconds)
        await self._pool.fetch("select pg_sleep(0.06)")
        await self.meanwhile()
        return found


async def captured(bench: Bench, event_type: str, due_in: float, key: str | None = None) -> int:
    """Capture one event that is due in so many seconds."""
    query = "select retryd.now() + $1 * interval '1 s'"
    due = await bench.connection.fetchval(query, due_in)
    return await bench.capture(event_type, not_before=due, ordering_key=key)


@asynccontextmanager
async def claiming(bench: Bench) -> AsyncIterator[tuple[Hands, DearLooks]]:
    """Claim in a loop that nobody rings, and that looks at a high price."""
    queue = DearLooks(bench.pool, "hands")
    hands = Hands(bench, queue)
    await hands.register()
    running = asyncio.create_task(hands.claimer.run())
    try:
        yield hands, queue
    finally:
        hands.claimer.stop()
        await running


async def test_what_is_put_back_while_it_looks_is_claimed_when_it_is_due(bench: Bench) -> None:
    async with claiming(bench) as (hands, queue):

        async def meanwhile() -> None:
            if not late:
                late.append(await captured(bench, "mail.x.failed", 0.5))
                hands.claimer.due_in(0.5)

        late: list[int] = []
        queue.meanwhile = meanwhile  # type: ignore[method-assign]
        first = await bench.capture("mail.x.failed")
        hands.claimer.wake()
        await until(
            lambda: {held.retry.id for held in hands.leases.all()} == {first, *late}, within=4
        )


async def test_all_that_a_look_found_is_claimed_when_it_is_due(bench: Bench) -> None:
    due = {
        await captured(bench, f"{name}.x.failed", seconds)
        for name, seconds in (("mail", 0.3), ("bill", 0.9), ("post", 1.5))
    }
    async with claiming(bench) as (hands, _):
        await until(lambda: {held.retry.id for held in hands.leases.all()} == due, within=4)


async def test_one_after_the_other_of_a_key_goes_on_though_each_lies_behind_the_claims(
    bench: Bench,
) -> None:
    """Only a look finds them, and each may wait for ten times as long as one takes."""
    for number in range(1, 6):
        await captured(bench, "mail.x.failed", -10 * number, "one")
    async with claiming(bench) as (hands, _):

        async def none_left() -> bool:
            for held in hands.leases.all():
                hands.settler.put(Decided(held.retry, None, Complete()))
            while await hands.settler.step() == 0:
                pass
            return not await bench.connection.fetch("select from retryd.retry_queue")

        await until(none_left)


async def test_how_late_attempts_begin_is_measured(bench: Bench) -> None:
    due = await bench.connection.fetchval("select retryd.now() - interval '40 s'")

    async def job(_: retryd.Retry) -> None:
        """Do nothing."""

    app = retryd.App()
    app.handler("job.*", name="job")(job)
    retry_id = await bench.capture(not_before=due)
    await bench.connection.execute(
        "update retryd.failure_event set captured_at = captured_at - interval '1 h'"
    )
    async with bench.working(app):
        await bench.reached("done", retry_id)
    assert bench.metric("retryd_pickup_delay_seconds_count", handler="job") == 1
    assert 40 <= bench.metric("retryd_pickup_delay_seconds_sum", handler="job") < 70
