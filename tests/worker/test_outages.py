"""A database that does not answer: leases are given up in time, the drain ends in time."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import retryd
from retryd.domain.policy import Policy
from tests.postgres import Clock
from tests.waiting import until
from tests.worker.conftest import Bench, app_with

BLOCKED_CLAIM = """
    select exists (
        select from pg_stat_activity
        where wait_event_type = 'Lock' and datname = current_database()
            and query ~ 'claim_retries|look_ahead')
"""


async def test_a_lease_that_cannot_be_renewed_is_given_up_while_the_renewal_waits(
    bench: Bench,
) -> None:
    events: list[str] = []

    async def job(_: retryd.Retry) -> None:
        events.append("started")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    locker = await bench.database.connect()
    async with bench.working(app_with(job), lease_seconds=2):
        retry_id = await bench.capture()
        await until(lambda: events)
        async with locker.transaction():
            await locker.execute(
                "select from retryd.retry_queue where id = $1 for update", retry_id
            )
            await until(lambda: "cancelled" in events, within=5)


async def test_a_drain_does_not_wait_for_a_claim_that_hangs(bench: Bench) -> None:
    async def job(_: retryd.Retry) -> None:
        pass

    locker = await bench.database.connect()

    async def blocked() -> bool:
        return bool(await bench.connection.fetchval(BLOCKED_CLAIM))

    async with (
        asyncio.timeout(20),
        locker.transaction(),
        bench.working(app_with(job), shutdown_seconds=0.1),
    ):
        await locker.execute("lock table retryd.retry_queue in access exclusive mode")
        await until(blocked)


async def test_a_claim_in_flight_at_the_stop_is_given_back_and_not_started(
    bench: Bench, clock: Clock
) -> None:
    started: list[int] = []

    async def job(retry: retryd.Retry) -> None:
        started.append(retry.id)

    async def blocked() -> bool:
        return bool(await bench.connection.fetchval(BLOCKED_CLAIM))

    locker = await bench.database.connect()
    later = await bench.connection.fetchval("select retryd.now() + interval '1 h'")
    retry_id = await bench.capture(not_before=later)
    async with bench.working(app_with(job)) as worker, locker.transaction():
        await locker.execute("lock table retryd.retry_handler in access exclusive mode")
        await until(blocked)
        await clock.advance(7200)  # by the time the claim may look, it is due
        worker.stop()
    row = await bench.row(retry_id)
    assert (row["state"], row["attempt"], started) == ("pending", 0, [])


async def test_what_could_not_be_renewed_while_it_waited_for_a_slot_is_given_back(
    bench: Bench,
) -> None:
    go_on = asyncio.Event()
    started: list[int] = []

    async def job(retry: retryd.Retry) -> None:
        started.append(retry.id)
        await go_on.wait()

    first = await bench.capture()
    locker = await bench.database.connect()
    async with bench.working(app_with(job), worker_count=1, lease_seconds=3) as worker:
        await until(lambda: started)
        second = await bench.capture()
        await until(lambda: len(worker.in_flight()) == 2)
        async with locker.transaction():
            await locker.execute("select from retryd.retry_queue where id = $1 for update", second)
            await until(lambda: [held["state"] for held in worker.in_flight()] == ["running"])
        go_on.set()
        await bench.reached("done", first, second)
    assert await bench.outcomes(second) == ["success"]


async def test_what_waits_behind_a_slot_that_never_ends_is_left_to_another_worker(
    bench: Bench,
) -> None:
    bench.policies = [Policy(timeout_seconds=0.1)]
    go_on = asyncio.Event()
    started: list[int] = []

    async def deaf(retry: retryd.Retry) -> None:
        started.append(retry.id)
        while not go_on.is_set():
            with suppress(asyncio.CancelledError):
                await go_on.wait()

    async def job(_: retryd.Retry) -> None:
        pass

    await bench.capture()
    short = {"worker_count": 1, "lease_seconds": 1}
    async with bench.working(app_with(deaf), grace_seconds=0.1, shutdown_seconds=0, **short) as one:
        await until(lambda: started)
        behind = await bench.capture()
        await until(lambda: any(held["retry"] == behind for held in one.in_flight()))
        async with bench.working(app_with(job), **short):
            await bench.reached("done", behind)
        go_on.set()
    assert await bench.outcomes(behind) == ["success"]


async def test_a_decision_outlives_a_function_that_is_missing_for_a_moment(bench: Bench) -> None:
    go_on = asyncio.Event()

    async def job(_: retryd.Retry) -> None:
        await go_on.wait()

    retry_id = await bench.capture()
    signature = await bench.connection.fetchval(
        "select oid::regprocedure::text from pg_proc where proname = 'settle_retries'"
    )
    arguments = signature.partition("(")[2]
    async with bench.working(app_with(job)) as worker:
        await until(lambda: [held["state"] for held in worker.in_flight()] == ["running"])
        await bench.connection.execute(f"alter function {signature} rename to gone")
        go_on.set()
        await until(lambda: any("settler" in problem for problem in worker.problems()))
        await bench.connection.execute(
            f"alter function retryd.gone({arguments} rename to settle_retries"
        )
        await bench.reached("done", retry_id)
        await until(lambda: not worker.problems())
    assert await bench.outcomes(retry_id) == ["success"]


async def test_a_plain_function_that_outlasts_a_drain_is_not_run_beside_itself(
    bench: Bench,
) -> None:
    entered, end = threading.Event(), threading.Event()

    def job(_: retryd.Retry) -> None:
        entered.set()
        end.wait(20)

    retry_id = await bench.capture()
    try:
        async with bench.working(app_with(job), shutdown_seconds=0.05):
            await until(entered.is_set)
        assert (await bench.row(retry_id))["state"] == "processing"
        entered.clear()
        async with bench.working(app_with(job), shutdown_seconds=0.05, process_ends=True):
            await bench.connection.execute(
                "update retryd.retry_queue set lease_expires_at = retryd.now()"
            )
            await until(entered.is_set)
        assert (await bench.row(retry_id))["state"] == "pending"
    finally:
        end.set()
