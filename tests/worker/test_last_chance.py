"""A retry whose next loss would be its last runs alone, so that it can take nobody along."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from typing_extensions import override

import retryd
from retryd.domain.policy import Policy
from retryd.ports import Claimed, Lane
from retryd.store.queue import Queue
from tests.waiting import until
from tests.worker.conftest import Bench, app_with
from tests.worker.test_steps import Parts


class Watched:
    """Attempts that last until they are let go; `together` has the sets that ran at one time."""

    def __init__(self) -> None:
        self.running: set[int] = set()
        self.together: list[set[int]] = []
        self.go_on = asyncio.Event()

    async def job(self, retry: retryd.Retry) -> None:
        self.running.add(retry.id)
        self.together.append(set(self.running))
        try:
            await self.go_on.wait()
        finally:
            self.running.discard(retry.id)


async def lost(bench: Bench, retry_id: int, times: int) -> None:
    """Let a waiting retry have lost so many workers."""
    await bench.connection.execute(
        "update retryd.retry_queue set lost_attempts = $2, attempt = $2 where id = $1",
        retry_id,
        times,
    )


async def come_due_on_its_last_chance(bench: Bench) -> int:
    """Capture a retry that has lost two workers before anybody can claim it."""
    later = await bench.connection.fetchval("select retryd.now() + interval '1 d'")
    retry_id = await bench.capture(not_before=later, priority=0)
    await lost(bench, retry_id, 2)
    await bench.connection.fetchval("select retryd.retry_now($1)", retry_id)
    return retry_id


async def states(bench: Bench, ids: Sequence[int]) -> list[str]:
    """Return the states of live retries, in the order of their ids."""
    query = "select state from retryd.retry_queue where id = any($1) order by id"
    return [row[0] for row in await bench.connection.fetch(query, ids)]


async def test_a_retry_on_its_last_chance_waits_for_those_that_run_and_has_nobody_beside_it(
    bench: Bench,
) -> None:
    watched = Watched()
    first = [await bench.capture() for _ in range(2)]
    async with bench.working(app_with(watched.job), worker_count=3):
        await until(lambda: watched.running == set(first))
        suspect = await come_due_on_its_last_chance(bench)

        async def claimed() -> bool:
            return await states(bench, [suspect]) == ["processing"]

        await until(claimed)
        behind = [await bench.capture() for _ in range(3)]

        async def given_back() -> bool:
            return await states(bench, behind) == ["pending"] * 3

        await until(given_back)
        watched.go_on.set()
        await bench.reached("done", *first, suspect, *behind)
    assert [each for each in watched.together if suspect in each] == [{suspect}]


async def test_several_on_their_last_chance_run_one_after_the_other(bench: Bench) -> None:
    watched = Watched()
    watched.go_on.set()
    ids = [await bench.capture() for _ in range(4)]
    for retry_id in ids:
        await lost(bench, retry_id, 2)
    async with bench.working(app_with(watched.job), worker_count=3):
        await bench.reached("done", *ids)
    assert sorted(watched.together, key=min) == [{retry_id} for retry_id in ids]


async def test_one_loss_of_three_is_no_reason_to_run_alone(bench: Bench) -> None:
    watched = Watched()
    ids = [await bench.capture() for _ in range(3)]
    for retry_id in ids:
        await lost(bench, retry_id, 1)
    async with bench.working(app_with(watched.job), worker_count=3):
        await until(lambda: watched.running == set(ids))
        watched.go_on.set()
        await bench.reached("done", *ids)


async def test_with_a_budget_of_one_nothing_runs_alone_before_it_was_lost(bench: Bench) -> None:
    bench.policies = [Policy(max_lost_attempts=1, timeout_seconds=5)]
    watched = Watched()
    ids = [await bench.capture() for _ in range(3)]
    async with bench.working(app_with(watched.job), worker_count=3):
        await until(lambda: watched.running == set(ids))
        watched.go_on.set()
        await bench.reached("done", *ids)


async def test_a_stop_gives_back_what_was_waiting_to_run_alone(bench: Bench) -> None:
    watched = Watched()
    running = await bench.capture()
    async with bench.working(app_with(watched.job), worker_count=2, shutdown_seconds=0.1):
        await until(lambda: watched.running == {running})
        suspect = await come_due_on_its_last_chance(bench)

        async def claimed() -> bool:
            return await states(bench, [suspect]) == ["processing"]

        await until(claimed)
    row = await bench.row(suspect)
    assert (row["state"], row["attempt"], row["lost_attempts"]) == ("pending", 2, 2)


async def test_a_stop_gives_it_back_although_those_that_run_end_in_time(bench: Bench) -> None:
    watched = Watched()
    running = await bench.capture()
    async with bench.working(app_with(watched.job), worker_count=2, shutdown_seconds=20) as worker:
        await until(lambda: watched.running == {running})
        suspect = await come_due_on_its_last_chance(bench)

        async def claimed() -> bool:
            return await states(bench, [suspect]) == ["processing"]

        await until(claimed)
        worker.stop()
        watched.go_on.set()
    row = await bench.row(suspect)
    assert (row["state"], row["attempt"], row["lost_attempts"]) == ("pending", 2, 2)
    assert watched.together == [{running}]


class LateAnswers(Queue):
    """Claims whose answers are held back until `go_on`, once `held` is set."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench.pool, "parts")
        self.held = False
        self.go_on = asyncio.Event()

    @override
    async def claim_retries(
        self, batch_size: int, lease_seconds: float, lanes: Sequence[Lane]
    ) -> Claimed:
        claimed = await super().claim_retries(batch_size, lease_seconds, lanes)
        if self.held and claimed.retries:
            await self.go_on.wait()
        return claimed


class Witness(Parts):
    """A worker whose attempts note in which states the others are."""

    def __init__(self, bench: Bench, queue: Queue) -> None:
        super().__init__(bench, queue)
        self.bench = bench
        self.others: list[int] = []
        self.seen: list[list[str]] = []

    @override
    async def job(self, retry: retryd.Retry) -> None:
        self.seen.append(await states(self.bench, self.others))


async def test_what_a_claim_under_way_brings_goes_back_before_a_last_chance_is_taken(
    bench: Bench,
) -> None:
    queue = LateAnswers(bench)
    witness = Witness(bench, queue)
    await witness.register()
    await come_due_on_its_last_chance(bench)
    await witness.claimer.step()
    witness.others = [await bench.capture() for _ in range(2)]
    queue.held = True
    claiming = asyncio.create_task(witness.claimer.run())

    async def claimed() -> bool:
        return await states(bench, witness.others) == ["processing"] * 2

    await until(claimed)
    settling = asyncio.create_task(witness.settler.run())
    witness.runner.start()
    for _ in range(20):  # turns of the loop in which it must not begin
        await states(bench, witness.others)
    assert not witness.seen
    queue.go_on.set()
    await until(lambda: witness.seen)
    assert witness.seen[0] == ["pending"] * 2
    for service in (witness.claimer, witness.settler):
        service.stop()
    await asyncio.gather(claiming, settling)
    await witness.runner.abort()
