"""Start, wake, drain, and the way back after an outage."""

from __future__ import annotations

import asyncio

import retryd
from tests.postgres import Clock
from tests.waiting import until
from tests.worker.conftest import Bench, app_with

UNHURRIED = 60.0


async def test_a_sleeping_worker_is_woken_by_a_capture(bench: Bench) -> None:
    async def job(_: retryd.Retry) -> None:
        pass

    async with bench.working(app_with(job), poll_seconds=UNHURRIED):
        await asleep(bench)
        await bench.reached("done", await bench.capture())


async def test_a_sleeping_worker_wakes_when_a_known_retry_gets_due(bench: Bench) -> None:
    attempts: list[int] = []

    async def job(retry: retryd.Retry) -> None:
        attempts.append(retry.attempt)
        if retry.attempt < 3:
            raise ConnectionError

    async with bench.working(app_with(job), poll_seconds=UNHURRIED, listen_dsn=None):
        pass
    retry_id = await bench.capture()
    async with bench.working(app_with(job), poll_seconds=UNHURRIED, listen_dsn=None):
        await bench.reached("done", retry_id)
    assert attempts == [1, 2, 3]


async def test_polling_alone_finds_what_is_captured(bench: Bench) -> None:
    async def job(_: retryd.Retry) -> None:
        pass

    async with bench.working(app_with(job), listen_dsn=None):
        await bench.reached("done", await bench.capture())


async def test_stopping_lets_running_attempts_end_and_gives_back_the_others(bench: Bench) -> None:
    started: list[int] = []
    go_on = asyncio.Event()

    async def job(retry: retryd.Retry) -> None:
        started.append(retry.id)
        await go_on.wait()

    ids = [await bench.capture() for _ in range(4)]
    async with bench.working(app_with(job), worker_count=2):
        await until(lambda: len(started) == 2)
        waiting = [retry_id for retry_id in ids if retry_id not in started]

        async def claimed() -> bool:
            return all([(await bench.row(i))["state"] == "processing" for i in ids])

        await until(claimed)
        asyncio.get_running_loop().call_later(0.05, go_on.set)
    assert [await bench.place(retry_id) for retry_id in started] == ["done", "done"]
    for retry_id in waiting:
        row = await bench.row(retry_id)
        assert (row["state"], row["attempt"], row["claim_token"]) == ("pending", 0, None)


async def test_an_attempt_that_outlasts_the_drain_is_cancelled_and_given_back(bench: Bench) -> None:
    started = asyncio.Event()

    async def job(_: retryd.Retry) -> None:
        started.set()
        await asyncio.Event().wait()

    retry_id = await bench.capture()
    async with bench.working(app_with(job), shutdown_seconds=0.05):
        await started.wait()
    row = await bench.row(retry_id)
    assert (row["state"], row["attempt"]) == ("pending", 0)


async def test_a_worker_goes_on_after_its_connections_were_cut(bench: Bench) -> None:
    async def job(_: retryd.Retry) -> None:
        pass

    async with bench.working(app_with(job)):
        await bench.reached("done", await bench.capture())
        cut = await bench.connection.fetchval(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity"
            " where datname = current_database() and application_name like 'retryd/%'"
        )
        assert cut > 0
        await bench.reached("done", await bench.capture())


async def test_a_worker_that_may_not_claim_still_looks_after_the_others(
    bench: Bench, clock: Clock
) -> None:
    async def job(_: retryd.Retry) -> None:
        pass

    await bench.connection.execute("update retryd.retry_policy set max_age = interval '1 h'")
    async with bench.working(app_with(job), claims=False):
        retry_id = await bench.capture()
        await clock.advance(3601)
        await bench.reached("dead", retry_id)
    assert (await bench.dead_letter(retry_id))["reason"] == "expired"


async def test_a_stopped_worker_leaves_no_trace_in_the_registry_of_workers(bench: Bench) -> None:
    async def job(_: retryd.Retry) -> None:
        pass

    async with bench.working(app_with(job)):

        async def present() -> bool:
            return bool(await bench.connection.fetchval("select count(*) from retryd.worker") == 1)

        await until(present)
    assert await bench.connection.fetchval("select count(*) from retryd.worker") == 0
    assert await bench.connection.fetchval("select count(*) from retryd.sleeper") == 0


async def test_an_ordering_key_runs_one_at_a_time_in_order(bench: Bench) -> None:
    running: set[int] = set()
    order: list[int] = []

    async def job(retry: retryd.Retry) -> None:
        assert not running
        running.add(retry.id)
        await asyncio.sleep(0)
        running.discard(retry.id)
        order.append(retry.id)

    async with bench.working(app_with(job)):
        ids = [await bench.capture(ordering_key="customer-1") for _ in range(5)]
        await bench.reached("done", *ids)
    assert order == ids


async def asleep(bench: Bench) -> None:
    """Wait until the worker asked to be rung and listens."""

    async def listening() -> bool:
        return bool(
            await bench.connection.fetchval(
                "select exists (select from retryd.sleeper) and exists (select"
                " from pg_stat_activity where application_name like 'retryd/doorbell/%'"
                " and state = 'idle' and datname = current_database())"
            )
        )

    await until(listening)
