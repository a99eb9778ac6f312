"""What a handler says, and what becomes of the retry."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

import retryd
from retryd.domain.policy import Policy
from tests.waiting import until
from tests.worker.conftest import Bench, app_with


async def test_a_handler_that_returns_completes_its_retry(bench: Bench) -> None:
    seen: list[retryd.Retry] = []

    async def job(retry: retryd.Retry) -> None:
        seen.append(retry)

    retry_id = await bench.capture(payload={"n": 7}, correlation_id="c1", error=OSError("no route"))
    async with bench.working(app_with(job)):
        await bench.reached("done", retry_id)
    [retry] = seen
    assert (retry.id, retry.payload, retry.attempt, retry.life) == (retry_id, {"n": 7}, 1, 1)
    assert retry.operation == "job.run"
    assert retry.correlation_id == "c1"
    assert retry.is_retry
    assert retry.original_error == retryd.ErrorInfo("OSError", "no route")
    assert retry.last_error is None


async def test_a_plain_function_runs_in_a_thread_of_its_own(bench: Bench) -> None:
    threads: list[threading.Thread] = []

    def job(_: retryd.Retry) -> None:
        threads.append(threading.current_thread())

    retry_id = await bench.capture()
    async with bench.working(app_with(job)):
        await bench.reached("done", retry_id)
    assert threads[0] is not threading.main_thread()


async def test_a_retry_that_always_fails_dies_exhausted_after_its_attempts(bench: Bench) -> None:
    calls: list[retryd.Retry] = []

    async def job(retry: retryd.Retry) -> None:
        calls.append(retry)
        message = f"failure {retry.attempt}"
        raise ConnectionError(message)

    retry_id = await bench.capture()
    async with bench.working(app_with(job)):
        await bench.reached("dead", retry_id)
    assert [retry.attempt for retry in calls] == [1, 2, 3]
    assert calls[2].last_error == retryd.ErrorInfo("ConnectionError", "failure 2")
    dead = await bench.dead_letter(retry_id)
    assert (dead["reason"], dead["error_type"]) == ("exhausted", "ConnectionError")
    assert dead["error_message"] == "failure 3"
    assert "raise ConnectionError" in dead["error_stack"]
    assert await bench.outcomes(retry_id) == ["failure", "failure", "failure"]
    assert bench.metric("retryd_attempts_total", handler="job", outcome="failure") == 3
    assert bench.metric("retryd_dead_letters_total", handler="job", reason="exhausted") == 1


async def test_the_delays_between_attempts_grow(bench: Bench) -> None:
    bench.policies = [
        Policy(initial_delay_seconds=0.05, backoff_multiplier=3, jitter_mode="none", max_retries=4)
    ]

    async def job(_: retryd.Retry) -> None:
        raise ConnectionError

    await bench.connection.execute("update retryd.retry_policy set max_retries = 4")
    retry_id = await bench.capture()
    async with bench.working(app_with(job)):
        await bench.reached("dead", retry_id)
    rows = await bench.connection.fetch(
        "select extract(epoch from next_attempt_at - ended_at)::float8 from retryd.retry_attempt"
        " where retry = $1 and next_attempt_at is not null order by claim_token",
        retry_id,
    )
    assert [round(row[0], 2) for row in rows] == [0.15, 0.45, 1.35]


async def test_reject_snooze_and_cancel_may_be_raised_or_returned(bench: Bench) -> None:
    said: dict[str, list[object]] = {
        "reject": [retryd.Reject("never")],
        "cancel": [retryd.Cancel("not wanted")],
        "snooze": [retryd.Snooze(0.01), retryd.Snooze(0.01)],
    }

    async def job(retry: retryd.Retry) -> object:
        what: list[Any] = said[retry.payload["say"]]
        if not what:
            return None
        outcome = what.pop()
        if retry.payload["how"] == "raise":
            raise outcome
        return outcome

    for how in ("raise", "return"):
        said["reject"], said["cancel"] = [retryd.Reject("never")], [retryd.Cancel("not wanted")]
        said["snooze"] = [retryd.Snooze(0.01), retryd.Snooze(0.01)]
        ids = {say: await bench.capture(payload={"say": say, "how": how}) for say in said}
        async with bench.working(app_with(job)):
            await bench.reached("dead", ids["reject"])
            await bench.reached("done", ids["cancel"], ids["snooze"])
        dead = await bench.dead_letter(ids["reject"])
        assert (dead["reason"], dead["error_message"]) == ("rejected", "never")
        assert await bench.outcomes(ids["cancel"]) == ["cancelled"]
        assert await bench.outcomes(ids["snooze"]) == ["snoozed", "snoozed", "success"]
        done = await bench.connection.fetchrow(
            "select attempt, snoozes, ended from retryd.retry_archive where id = $1", ids["snooze"]
        )
        assert done is not None
        assert tuple(done) == (1, 2, "completed")


async def test_an_attempt_that_takes_too_long_is_cancelled_and_fails(bench: Bench) -> None:
    bench.policies = [Policy(timeout_seconds=0.05, max_retries=1)]
    await bench.connection.execute("update retryd.retry_policy set max_retries = 1")

    async def job(_: retryd.Retry) -> None:
        await asyncio.Event().wait()

    retry_id = await bench.capture()
    async with bench.working(app_with(job)):
        await bench.reached("dead", retry_id)
    dead = await bench.dead_letter(retry_id)
    assert dead["error_type"] == "TimeoutError"
    assert "0.05 s" in dead["error_message"]


async def test_a_timeout_error_of_the_handler_itself_keeps_its_own_message(bench: Bench) -> None:
    async def job(_: retryd.Retry) -> None:
        message = "the bank did not answer"
        raise TimeoutError(message)

    retry_id = await bench.capture()
    async with bench.working(app_with(job)):
        await bench.reached("dead", retry_id)
    assert (await bench.dead_letter(retry_id))["error_message"] == "the bank did not answer"


async def test_no_exception_of_a_handler_harms_its_worker(bench: Bench) -> None:
    async def job(retry: retryd.Retry) -> None:
        match retry.payload:
            case "exit":
                sys.exit(3)
            case "interrupt":
                raise KeyboardInterrupt
            case "cancelled":
                raise asyncio.CancelledError
            case "stop":
                raise StopAsyncIteration
            case "group":
                raise BaseExceptionGroup("all of it", [ValueError("a"), SystemExit(1)])

    def plain(_: retryd.Retry) -> None:
        raise StopIteration

    app = app_with(job)
    app.handler("plain.*")(plain)
    bad = [
        await bench.capture(payload=say)
        for say in ("exit", "interrupt", "cancelled", "stop", "group")
    ]
    bad.append(await bench.capture("plain.x.failed"))
    good = await bench.capture(payload="fine")
    async with bench.working(app):
        await bench.reached("dead", *bad)
        await bench.reached("done", good)


async def test_a_plain_function_that_overran_counts_with_what_it_says(bench: Bench) -> None:
    bench.policies = [Policy(timeout_seconds=0.001)]
    release = threading.Event()

    def job(_: retryd.Retry) -> None:
        release.wait(5)

    retry_id = await bench.capture()
    async with bench.working(app_with(job)):
        await until(lambda: threading.active_count() > 1)
        release.set()
        await bench.reached("done", retry_id)
    assert await bench.outcomes(retry_id) == ["success"]


async def test_each_handler_that_matches_gets_a_retry_of_its_own(bench: Bench) -> None:
    calls: list[str] = []

    async def job(retry: retryd.Retry) -> None:
        calls.append(retry.handler)
        if retry.handler == "second" and calls.count("second") == 1:
            raise ConnectionError

    app = app_with(job, name="first")
    app.handler("job.run", name="second")(job)
    async with bench.working(app):
        ids = await retryd.capture(bench.connection, "job.run.error")
        assert len(ids) == 2
        await bench.reached("done", *ids)
    assert sorted(calls) == ["first", "second", "second"]
