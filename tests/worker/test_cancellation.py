"""Handlers that do not do as they are told when they are cancelled: their slot works on."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any

import pytest

import retryd
from retryd.domain.outcome import Outcome, Success
from retryd.domain.policy import Policy
from retryd.domain.retry import Retry
from tests.waiting import until
from tests.worker.conftest import Bench, app_with

STEAL = (
    "update retryd.retry_queue set claimed_by = 'thief', claim_token = 999999,"
    " lease_expires_at = retryd.now() + interval '1 h' where id = $1"
)


async def test_a_drain_ends_although_a_handler_swallows_its_cancellation(bench: Bench) -> None:
    started = asyncio.Event()

    async def job(_: retryd.Retry) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    retry_id = await bench.capture()
    async with asyncio.timeout(10):
        async with bench.working(app_with(job), shutdown_seconds=0.05):
            await started.wait()
    assert await bench.place(retry_id) == "done"


async def test_a_drain_ends_although_a_handler_is_deaf_to_cancellation(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retryd.worker.runner.ABORT_SECONDS", (0.05,))
    started, go_on = asyncio.Event(), asyncio.Event()

    async def job(_: retryd.Retry) -> None:
        started.set()
        while not go_on.is_set():
            with suppress(asyncio.CancelledError):
                await go_on.wait()

    retry_id = await bench.capture()
    try:
        async with asyncio.timeout(10):
            async with bench.working(app_with(job), shutdown_seconds=0.05):
                await started.wait()
    finally:
        go_on.set()
    assert (await bench.row(retry_id))["state"] == "processing"  # nobody else may start it now


async def test_a_swallowed_cancellation_does_not_meet_the_next_attempt(bench: Bench) -> None:
    started = asyncio.Event()

    async def job(retry: retryd.Retry) -> None:
        if retry.payload == "first":
            started.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return
        raise asyncio.CancelledError  # as a task does that somebody else cancelled

    async with bench.working(app_with(job), worker_count=1, lease_seconds=1):
        first = await bench.capture(payload="first")
        await started.wait()
        await bench.connection.execute(STEAL, first)
        second = await bench.capture(payload="second")
        await bench.reached("dead", second)
    assert (await bench.dead_letter(second))["error_type"] == "asyncio.exceptions.CancelledError"


async def test_a_handler_that_cancels_itself_has_failed_and_harms_no_other(bench: Bench) -> None:
    async def job(retry: retryd.Retry) -> None:
        if retry.payload == "first":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            if retry.attempt == 1:
                await asyncio.Event().wait()
        await asyncio.sleep(0)

    async with bench.working(app_with(job), worker_count=1):
        first = await bench.capture(payload="first")
        await bench.reached("dead", first)
        second = await bench.capture(payload="second")
        await bench.reached("done", second)
    assert await bench.outcomes(second) == ["success"]


async def test_a_plain_function_that_never_ends_is_lost_after_its_grace(bench: Bench) -> None:
    bench.policies = [Policy(timeout_seconds=0.05)]
    go_on = threading.Event()
    started: list[int] = []

    def job(retry: retryd.Retry) -> None:
        started.append(retry.id)
        if retry.id == hanging:
            go_on.wait()

    hanging = await bench.capture()
    try:
        async with bench.working(
            app_with(job), worker_count=1, lease_seconds=1, grace_seconds=0.05, shutdown_seconds=0
        ):
            await until(lambda: started)
            other = await bench.capture()
            await bench.reached("done", other)

            async def lost() -> bool:
                return await bench.outcomes(hanging) == ["lost"]

            await until(lost)
    finally:
        go_on.set()


async def test_what_a_plain_function_returns_to_be_awaited_is_awaited(bench: Bench) -> None:
    done: list[int] = []

    async def work(retry: retryd.Retry) -> None:
        done.append(retry.id)

    @functools.wraps(work)
    def job(retry: retryd.Retry) -> Coroutine[Any, Any, None]:
        return work(retry)

    retry_id = await bench.capture()
    async with bench.working(app_with(job)):
        await bench.reached("done", retry_id)
    assert done == [retry_id]


class Broken:
    """A handler that breaks the promise of its port once."""

    name = "job"
    definition: Mapping[str, object] = {"name": "job", "match": ["job.*"], "kind": "broken"}
    stoppable = True

    async def run(self, retry: Retry, timeout_seconds: float) -> Outcome:  # noqa: ARG002
        if retry.attempt == 1:
            message = "can't start new thread"
            raise RuntimeError(message)
        return Success()


async def test_a_handler_that_breaks_its_promise_costs_an_attempt_and_no_slot(
    bench: Bench,
) -> None:
    retry_id = await bench.capture()
    async with bench.serving([Broken()], worker_count=1):
        await bench.reached("done", retry_id)
    assert await bench.outcomes(retry_id) == ["failure", "success"]


class Forgetful(retryd.Snooze):
    """A handler's own kind of snooze, which forgot what it inherits."""

    def __init__(self) -> None:
        Exception.__init__(self, "later")


@pytest.mark.parametrize("raises", [True, False])
async def test_a_word_of_the_handler_s_own_kind_that_says_nothing_is_a_failure(
    bench: Bench, raises: bool
) -> None:
    async def job(retry: retryd.Retry) -> object:
        if retry.attempt > 1:
            return None
        if raises:
            raise Forgetful
        return Forgetful()

    async with bench.working(app_with(job), worker_count=1):
        retry_id = await bench.capture()
        await bench.reached("done", retry_id)
    assert await bench.outcomes(retry_id) == ["failure", "success"]
