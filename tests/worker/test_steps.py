"""The steps of the services, called without their loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest
from typing_extensions import override

from retryd.domain.decision import Complete, Decided, Decision, Reschedule
from retryd.domain.errors import DatabaseUnavailable, Refused, StatementAborted
from retryd.domain.outcome import Failure, Reject, Success
from retryd.domain.policy import PRESETS
from retryd.domain.retry import Retry
from retryd.handlers.python import PythonHandler
from retryd.ports import Claimed, Lane
from retryd.store.queue import Queue
from retryd.worker.claimer import Claimer
from retryd.worker.doubt import Doubt
from retryd.worker.lease_keeper import LeaseKeeper, LeaseWatch
from retryd.worker.leases import Leases
from retryd.worker.pruner import Pruner, Retention
from retryd.worker.rescuer import LONGEST_WAIT_SECONDS, Rescuer
from retryd.worker.runner import Runner
from retryd.worker.settler import Settler
from tests.postgres import Clock
from tests.waiting import until
from tests.worker.conftest import QUICK, Bench, app_with, claim

POLL = 60.0


class Parts:
    """The services of one worker, none of them running."""

    def __init__(self, bench: Bench, queue: Queue | None = None) -> None:
        self.queue = queue or Queue(bench.pool, "parts")
        self.leases = Leases(60)
        self.put_back: list[float] = []
        self.settler = Settler(self.queue, self.leases, bench.metrics, self.put_back.append)
        app = app_with(self.job)
        self.handlers = [PythonHandler(registration) for registration in app.handlers.values()]
        self.runner = Runner(
            {handler.name: handler for handler in self.handlers},
            [QUICK],
            self.leases,
            self.settler,
            bench.metrics,
            slots=2,
            grace_seconds=30,
            process_ends=False,
            on_room=lambda: None,
        )
        self.claimer = Claimer(
            self.queue,
            self.runner,
            self.leases,
            bench.metrics,
            ["job"],
            batch_size=10,
            poll_seconds=POLL,
        )
        self.rescuer = Rescuer(
            self.queue, self.settler, bench.metrics, PRESETS, lease_seconds=60, every_seconds=POLL
        )

    async def job(self, retry: Retry) -> None:
        """Do nothing."""

    def keeper(self) -> LeaseKeeper:
        """Return a lease keeper that tells this loop."""
        watch = LeaseWatch(self.leases, self.settler)
        return LeaseKeeper(self.queue, self.leases, watch, asyncio.get_running_loop())

    async def register(self) -> None:
        await self.queue.publish_handlers(handler.definition for handler in self.handlers)

    async def claim(self) -> Sequence[Retry]:
        return await claim(self.queue, 60)

    async def rest(self) -> float:
        """Step until the claimer has looked and found nothing; return how long it rests then."""

        async def rested() -> float:
            pause = await self.claimer.step()
            return pause if pause > 1 else 0

        return await until(rested)


@pytest.fixture
async def parts(bench: Bench) -> Parts:
    parts = Parts(bench)
    await parts.register()
    return parts


async def test_a_claim_takes_no_more_than_runs_and_waits_behind_the_slots(
    bench: Bench, parts: Parts
) -> None:
    for _ in range(6):
        await bench.capture()
    assert parts.runner.room == 4
    assert await parts.claimer.step() == 0
    assert len(parts.leases) == 4
    assert parts.runner.room == 0


async def test_a_claimer_without_room_asks_for_nothing(bench: Bench, parts: Parts) -> None:
    for _ in range(6):
        await bench.capture()
    await parts.claimer.step()
    asked = bench.metric("retryd_claim_duration_seconds_count")
    assert await parts.claimer.step() == POLL
    assert bench.metric("retryd_claim_duration_seconds_count") == asked


async def test_an_idle_claimer_sleeps_until_the_next_retry_is_due(
    bench: Bench, parts: Parts
) -> None:
    assert await parts.rest() == POLL
    due = await bench.connection.fetchval("select retryd.now() + interval '20 s'")
    await bench.capture(not_before=due)
    assert 15 < await parts.rest() <= 20


async def test_a_due_retry_that_cannot_be_had_does_not_keep_the_claimer_busy(
    bench: Bench, parts: Parts
) -> None:
    retry_id = await bench.capture()
    locker = await bench.database.connect()
    async with locker.transaction():
        await locker.execute("select from retryd.retry_queue where id = $1 for update", retry_id)
        assert await parts.claimer.step() > 0
    assert len(parts.leases) == 0
    await parts.claimer.step()
    assert len(parts.leases) == 1


class DeafQueue(Queue):
    """Hears no answer to its next claim, which may have been committed or may be one day."""

    fault: DatabaseUnavailable | None = None
    looks = 0

    @override
    async def claim_retries(
        self, batch_size: int, lease_seconds: float, lanes: Sequence[Lane]
    ) -> Claimed:
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault
        return await super().claim_retries(batch_size, lease_seconds, lanes)

    @override
    async def adopt_claims(self, after: int, lease_seconds: float) -> list[Retry]:
        self.looks += 1
        return await super().adopt_claims(after, lease_seconds)


async def test_a_claim_that_commits_late_is_adopted_once_and_what_was_claimed_meanwhile_is_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retryd.worker.doubt.LOOK_SECONDS", 0.0)
    queue = DeafQueue(bench.pool, "parts")
    parts = Parts(bench, queue)
    await parts.register()
    await bench.capture()
    unheard = await bench.database.connect()
    async with unheard.transaction():
        claim = "select id from retryd.acquire_retry_batch('parts', 1, '60 s', array['job'])"
        late = await unheard.fetchval(claim)
        queue.fault = DatabaseUnavailable()
        with pytest.raises(DatabaseUnavailable):
            await parts.claimer.step()
        meanwhile = await bench.capture()
        await parts.claimer.step()
        assert [held.retry.id for held in parts.leases.all()] == [meanwhile]
    await parts.claimer.step()
    assert [held.retry.id for held in parts.leases.all()] == [meanwhile, late]
    await parts.claimer.step()
    assert parts.runner.room == 2, "each waits once"
    assert queue.looks == 3


async def test_a_claimer_looks_again_soon_for_a_claim_without_an_answer(bench: Bench) -> None:
    queue = DeafQueue(bench.pool, "parts")
    parts = Parts(bench, queue)
    await parts.register()
    await bench.capture()
    queue.fault = DatabaseUnavailable()
    with pytest.raises(DatabaseUnavailable):
        await parts.claimer.step()
    assert 0 < await parts.claimer.step() <= 1
    await parts.claimer.step()
    assert queue.looks == 1, "its second is not over"


async def test_a_claim_that_postgresql_gave_up_leaves_no_doubt(bench: Bench) -> None:
    queue = DeafQueue(bench.pool, "parts")
    parts = Parts(bench, queue)
    await parts.register()
    await bench.capture()
    queue.fault = StatementAborted()
    with pytest.raises(StatementAborted):
        await parts.claimer.step()
    assert await parts.rest() == POLL
    assert queue.looks == 0


async def test_a_settlement_writes_what_was_decided_and_drops_the_leases(
    bench: Bench, parts: Parts
) -> None:
    good, bad = await bench.capture(), await bench.capture()
    retries = await parts.claim()
    parts.leases.add(retries, 0)
    decisions: dict[int, Decision] = {good: Complete(), bad: Reschedule(7)}
    for retry in retries:
        parts.settler.put(Decided(retry, Success(), decisions[retry.id], 0.5))
    assert await parts.settler.step() > 0
    assert await bench.place(good) == "done"
    assert (await bench.row(bad))["state"] == "pending"
    assert len(parts.leases) == 0
    assert parts.put_back == [7]
    async with asyncio.timeout(1):
        await parts.settler.emptied()


class FlakyQueue(Queue):
    """Breaks a settlement as PostgreSQL may, then works."""

    faults: list[Callable[[Sequence[Decided]], None]]

    @override
    async def settle_retries(self, decided: Sequence[Decided]) -> list[str]:
        if decided and self.faults:
            self.faults.pop(0)(decided)
        return await super().settle_retries(decided)


def away(_: Sequence[Decided]) -> None:
    raise DatabaseUnavailable


def broken(_: Sequence[Decided]) -> None:
    message = "a value that cannot be stored"
    raise Refused(message)


def fine(_: Sequence[Decided]) -> None:
    """Do nothing."""


async def test_a_settlement_that_met_an_outage_is_made_again_in_order(bench: Bench) -> None:
    queue = FlakyQueue(bench.pool, "parts")
    queue.faults = [away]
    parts = Parts(bench, queue)
    await parts.register()
    retry_id = await bench.capture()
    [retry] = await parts.claim()
    parts.leases.add([retry], 0)
    parts.settler.put(Decided(retry, Success(), Complete(), 0.5))
    with pytest.raises(DatabaseUnavailable):
        await parts.settler.step()
    assert len(parts.leases) == 1
    await parts.settler.step()
    assert await bench.place(retry_id) == "done"


async def test_an_outage_amid_single_settlements_settles_nothing_twice(bench: Bench) -> None:
    queue = FlakyQueue(bench.pool, "parts")
    queue.faults = [broken, fine, away]
    parts = Parts(bench, queue)
    await parts.register()
    ids = [await bench.capture() for _ in range(3)]
    for retry in await parts.claim():
        parts.settler.put(Decided(retry, Success(), Complete(), 0.5))
    pauses: list[float] = []
    while len(pauses) < 10 and (not pauses or pauses[-1] == 0):
        try:
            pauses.append(await parts.settler.step())
        except DatabaseUnavailable:
            pauses.append(0)
    assert [await bench.place(retry_id) for retry_id in ids] == ["done"] * 3
    assert bench.metric("retryd_stale_settlements_total") == 0
    assert bench.metric("retryd_attempts_total", handler="job", outcome="success") == 3


async def test_a_decision_that_cannot_be_written_holds_up_no_other(
    bench: Bench, parts: Parts
) -> None:
    why = Reject("x")
    why.why = 7  # type: ignore[assignment]  # as a subclass may do that forgets what it inherits
    ids = [await bench.capture() for _ in range(3)]
    retries = {retry.id: retry for retry in await parts.claim()}
    parts.leases.add(retries.values(), 0)
    parts.settler.put(Decided(retries[ids[0]], Success(), Complete(), 0.5))
    parts.settler.put(Decided(retries[ids[1]], why, Complete(), 0.5))
    parts.settler.put(Decided(retries[ids[2]], Success(), Complete(), 0.5))
    while await parts.settler.step() == 0:
        pass
    assert await bench.place(ids[0]) == await bench.place(ids[2]) == "done"
    assert (await bench.row(ids[1]))["state"] == "processing"
    assert len(parts.leases) == 0  # so its lease runs out


async def test_a_spent_retry_that_was_to_go_back_is_buried_and_counted_once(
    bench: Bench, parts: Parts
) -> None:
    retry_id = await bench.capture()
    await bench.connection.execute("update retryd.retry_queue set max_retries = 1")
    [retry] = await parts.claim()
    parts.settler.put(Decided(retry, Failure("OSError", "no"), Reschedule(1), 0.5))
    while await parts.settler.step() == 0:
        pass
    assert (await bench.dead_letter(retry_id))["reason"] == "exhausted"
    assert bench.metric("retryd_attempts_total", handler="job", outcome="failure") == 1
    assert bench.metric("retryd_dead_letters_total", handler="job", reason="exhausted") == 1


async def test_a_rescue_decides_about_what_another_worker_lost(
    bench: Bench, parts: Parts, clock: Clock
) -> None:
    retry_id = await bench.capture()
    await claim(Queue(bench.pool, "lost"), 1)
    assert await parts.rescuer.step() == LONGEST_WAIT_SECONDS
    await clock.advance(2)
    assert await parts.rescuer.step() == LONGEST_WAIT_SECONDS
    await parts.settler.step()
    row = await bench.row(retry_id)
    assert (row["state"], row["attempt"], row["lost_attempts"]) == ("pending", 1, 1)
    assert bench.metric("retryd_rescued_total") == 1


async def test_between_looks_at_all_leases_a_rescue_takes_what_ran_out_since(
    bench: Bench, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOOK_TIMES", "LOOK_SECONDS"):
        monkeypatch.setattr(f"retryd.worker.rescuer.{name}", 1e9)
    monkeypatch.setattr("retryd.worker.rescuer.LOOK_FREE_SECONDS", 0.0)
    parts = Parts(bench)
    long_ago, lately = await bench.capture(), await bench.capture()
    await parts.rescuer.step()
    await claim(Queue(bench.pool, "lost"), 60)
    for retry_id, ago in ((long_ago, 60), (lately, 1)):
        await bench.connection.execute(
            "update retryd.retry_queue"
            " set lease_expires_at = retryd.now() - make_interval(secs => $2) where id = $1",
            retry_id,
            ago,
        )
    await parts.rescuer.step()
    assert bench.metric("retryd_rescued_total") == 1
    assert (await bench.row(lately))["lost_attempts"] == 1
    await Parts(bench).rescuer.step()
    assert (await bench.row(long_ago))["lost_attempts"] == 1


async def test_a_lease_is_renewed_by_its_keeper(bench: Bench, parts: Parts, clock: Clock) -> None:
    retry_id = await bench.capture()
    await parts.claimer.step()
    before = (await bench.row(retry_id))["lease_expires_at"]
    await clock.advance(10)
    assert await parts.keeper().step() == 20
    assert (await bench.row(retry_id))["lease_expires_at"] > before


async def test_a_lease_that_somebody_else_has_is_given_up(bench: Bench, parts: Parts) -> None:
    await bench.capture()
    await parts.claimer.step()
    await bench.connection.execute("update retryd.retry_queue set claim_token = 999999")
    await parts.keeper().step()
    await until(lambda: len(parts.leases) == 0)


async def test_what_waits_for_a_slot_is_given_back_unspent(bench: Bench, parts: Parts) -> None:
    retry_id = await bench.capture()
    await parts.claimer.step()
    parts.runner.release_waiting()
    await parts.settler.step()
    row = await bench.row(retry_id)
    assert (row["state"], row["attempt"]) == ("pending", 0)
    assert not list(attempts(bench))


def attempts(bench: Bench) -> list[str]:
    """Return the outcomes of attempts that were counted."""
    return [
        sample.labels["outcome"]
        for metric in bench.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "retryd_attempts_total"
    ]


async def test_a_lease_that_is_nearly_over_is_not_run_under(bench: Bench, parts: Parts) -> None:
    await bench.capture()
    [retry] = await parts.claim()

    parts.runner.put(parts.leases.add([retry], float("-inf")))
    parts.runner.start()
    await until(lambda: parts.runner.room == 4)
    await parts.runner.abort()
    await parts.settler.step()
    assert parts.put_back == [0]
    assert (await bench.row(retry.id))["attempt"] == 0


@pytest.mark.forgets
async def test_pruning_makes_partitions_and_forgets_what_is_old(
    bench: Bench, parts: Parts, clock: Clock
) -> None:
    retry_id = await bench.capture()
    [retry] = await parts.claim()
    parts.settler.put(Decided(retry, Success(), Complete(), 0.5))
    await parts.settler.step()
    await parts.queue.worker_seen("host", 1, "0", {})
    await parts.queue.look_ahead(["job"], 5)
    pruner = Pruner(parts.queue, Retention(7, 7, 90))
    await pruner.step()
    assert await bench.connection.fetchval("select count(*) from retryd.worker") == 1
    assert await bench.place(retry_id) == "done"
    await clock.advance(20 * 86_400)
    assert await pruner.step() > 60
    assert await bench.place(retry_id) is None
    for table in ("failure_event", "worker", "sleeper"):
        assert await bench.connection.fetchval(f"select count(*) from retryd.{table}") == 0


async def test_a_decision_that_waits_for_somebody_s_lock_lets_the_others_go_first(
    bench: Bench,
) -> None:
    def held_up(decided: Sequence[Decided]) -> None:
        if stuck in [each.retry.id for each in decided]:
            raise StatementAborted

    queue = FlakyQueue(bench.pool, "parts")
    queue.faults = [held_up] * 20
    parts = Parts(bench, queue)
    await parts.register()
    ids = [await bench.capture() for _ in range(6)]
    stuck = ids[0]
    for retry in await parts.claim():
        parts.settler.put(Decided(retry, Success(), Complete(), 0.5))
    for _ in range(12):
        with suppress(StatementAborted):
            await parts.settler.step()
    assert {await bench.place(retry_id) for retry_id in ids[1:]} == {"done"}
    assert await bench.place(stuck) == "live"


async def test_a_doubt_lasts_while_the_row_is_busy(bench: Bench, parts: Parts) -> None:
    """The first sending is under way in PostgreSQL still, and then it is ours."""
    await bench.capture()
    [retry] = await parts.claim()
    doubt, batch = Doubt(parts.queue), [Decided(retry, Success(), Complete(), 0.5)]
    doubt.add(batch)
    assert await doubt.cleared(batch, ["busy"]) == ["busy"]
    assert await parts.queue.settle_retries(batch) == ["settled"]
    assert await doubt.cleared(batch, ["stale"]) == ["settled"]
    assert await doubt.cleared(batch, ["stale"]) == ["stale"]
