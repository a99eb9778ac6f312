"""Leases: kept while an attempt runs, taken over when a worker is lost, never stolen."""

from __future__ import annotations

import asyncio
import threading

import pytest

import retryd
from retryd.store.queue import Queue
from tests.postgres import Clock
from tests.waiting import until
from tests.worker.conftest import Bench, app_with, claim


async def lose(bench: Bench, worker: str = "lost") -> None:
    """Claim what is due as a worker that never reports."""
    assert await claim(Queue(bench.pool, worker), 1)


async def test_a_lease_is_renewed_while_its_attempt_runs(bench: Bench) -> None:
    go_on = asyncio.Event()
    attempts: list[int] = []

    async def job(retry: retryd.Retry) -> None:
        attempts.append(retry.attempt)
        await go_on.wait()

    retry_id = await bench.capture()
    async with bench.working(app_with(job), lease_seconds=1):
        await until(lambda: attempts)
        before = (await bench.row(retry_id))["lease_expires_at"]

        async def renewed() -> bool:
            return bool((await bench.row(retry_id))["lease_expires_at"] > before)

        await until(renewed)
        go_on.set()
        await bench.reached("done", retry_id)
    assert attempts == [1]


async def test_a_lost_worker_s_retry_is_rescued_and_the_loss_is_counted(
    bench: Bench, clock: Clock
) -> None:
    async def job(_: retryd.Retry) -> None:
        pass

    app = app_with(job)
    async with bench.working(app, claims=False):
        retry_id = await bench.capture()
        await lose(bench)
        await clock.advance(2)

        async def pending() -> bool:
            return bool((await bench.row(retry_id))["state"] == "pending")

        await until(pending)
        row = await bench.row(retry_id)
        assert (row["attempt"], row["lost_attempts"]) == (1, 1)
    async with bench.working(app):
        await clock.advance(2)
        await bench.reached("done", retry_id)
    assert await bench.outcomes(retry_id) == ["lost", "success"]
    assert bench.metric("retryd_rescued_total") == 1


async def test_a_retry_that_loses_every_worker_dies_with_that_reason(
    bench: Bench, clock: Clock
) -> None:
    async def job(_: retryd.Retry) -> None:
        pass

    async with bench.working(app_with(job), claims=False):
        retry_id = await bench.capture()
        for _ in range(3):
            await lose(bench)
            await clock.advance(2)

            async def settled() -> bool:
                query = "select state from retryd.retry_queue where id = $1"
                return bool(await bench.connection.fetchval(query, retry_id) != "processing")

            await until(settled)
            await clock.advance(100)
        await bench.reached("dead", retry_id)
    dead = await bench.dead_letter(retry_id)
    assert (dead["reason"], dead["lost_attempts"]) == ("worker_lost", 3)
    assert await bench.outcomes(retry_id) == ["lost", "lost", "lost"]


async def test_an_attempt_whose_lease_was_taken_is_cancelled_and_changes_nothing(
    bench: Bench,
) -> None:
    events: list[str] = []

    async def job(retry: retryd.Retry) -> None:
        events.append(f"started {retry.attempt}")
        if retry.attempt > 1:
            return
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    async with bench.working(app_with(job), lease_seconds=1):
        retry_id = await bench.capture()
        await until(lambda: events)
        await bench.connection.execute(
            "update retryd.retry_queue set claimed_by = 'thief', claim_token = 999999,"
            " lease_expires_at = retryd.now() + interval '1 h'"
        )
        await until(lambda: "cancelled" in events)
        await until(lambda: bench.metric("retryd_stale_settlements_total") == 1)
        assert (await bench.row(retry_id))["claimed_by"] == "thief"
    assert await bench.outcomes(retry_id) == []


async def test_a_plain_function_whose_lease_was_taken_runs_on_and_reports_too_late(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def job(_: retryd.Retry) -> None:
        entered.set()
        go_on.wait(20)

    async with bench.working(app_with(job), lease_seconds=1, worker_count=1):
        retry_id = await bench.capture()
        await until(entered.is_set)
        await bench.connection.execute(
            "update retryd.retry_queue set claimed_by = 'thief', claim_token = 999999,"
            " lease_expires_at = retryd.now() + interval '1 h'"
        )
        await until(lambda: "leases_lost" in caplog.messages)
        go_on.set()
        await until(lambda: bench.metric("retryd_stale_settlements_total") == 1)
        assert (await bench.row(retry_id))["claimed_by"] == "thief"
    assert await bench.outcomes(retry_id) == []


async def test_a_settlement_that_comes_too_late_is_counted_and_is_no_error(bench: Bench) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def job(_: retryd.Retry) -> None:
        entered.set()
        await go_on.wait()

    async with bench.working(app_with(job)):
        retry_id = await bench.capture()
        await entered.wait()
        await bench.connection.execute(
            "update retryd.retry_queue set claimed_by = 'thief', claim_token = 999999"
        )
        go_on.set()
        await until(lambda: bench.metric("retryd_stale_settlements_total") == 1)
        assert (await bench.row(retry_id))["claim_token"] == 999999


async def test_a_row_that_somebody_locks_costs_the_other_leases_nothing(bench: Bench) -> None:
    go_on = asyncio.Event()
    lost: list[int] = []

    async def job(retry: retryd.Retry) -> None:
        try:
            await go_on.wait()
        except asyncio.CancelledError:
            lost.append(retry.id)
            raise

    locker = await bench.database.connect()
    async with bench.working(app_with(job), lease_seconds=1):
        locked, free = await bench.capture(), await bench.capture()

        async def both_run() -> bool:
            query = "select count(*) from retryd.retry_queue where state = 'processing'"
            return bool(await bench.connection.fetchval(query) == 2)

        await until(both_run)
        async with locker.transaction():
            await locker.execute("select from retryd.retry_queue where id = $1 for update", locked)
            await until(lambda: lost == [locked])
            before = (await bench.row(free))["lease_expires_at"]

            async def renewed() -> bool:
                return bool((await bench.row(free))["lease_expires_at"] > before)

            await until(renewed)
        go_on.set()
        await bench.reached("done", free)
