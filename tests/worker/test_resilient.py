"""A resilient function and its worker: the call that failed is the retry, and there is no other."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import retryd
from retryd.domain.policy import Policy
from tests.worker.conftest import Bench

TEN = Policy(initial_delay_seconds=0.01, max_delay_seconds=0.01, max_retries=10)


async def ten_attempts(bench: Bench) -> None:
    """Let every retry have ten attempts, soon after one another."""
    bench.policies = [TEN]
    await bench.connection.execute("update retryd.retry_policy set max_retries = 10")


async def only_retry(bench: Bench) -> int:
    """Return the id of the one retry that there is, wherever it is."""
    [row] = await bench.connection.fetch("select id from retryd.place")
    return int(row[0])


def apps(
    dsn: str, body: Callable[..., None], *, plain: bool
) -> tuple[retryd.App, Callable[..., Any]]:
    """Make an app with one resilient function, async or plain."""
    app = retryd.App(dsn)
    if plain:

        @app.resilient("invoice.remind", name="remind")
        def remind(invoice: int, by: str = "mail") -> None:
            body(invoice, by)

        return app, remind

    @app.resilient("invoice.remind", name="remind")
    async def remind_async(invoice: int, by: str = "mail") -> None:
        body(invoice, by)

    return app, remind_async


@pytest.mark.parametrize("plain", [False, True])
async def test_ten_failing_attempts_leave_one_retry(bench: Bench, plain: bool) -> None:
    calls: list[tuple[int, str]] = []

    def body(invoice: int, by: str) -> None:
        calls.append((invoice, by))
        raise ConnectionError(f"failure {len(calls)}")

    await ten_attempts(bench)
    app, remind = apps(bench.database.dsn, body, plain=plain)
    async with bench.working(app):
        said = remind(7)
        assert (await said if inspect.isawaitable(said) else said) is None
        retry_id = await only_retry(bench)
        await bench.reached("dead", retry_id)
    assert calls == 11 * [(7, "mail")]
    assert await bench.outcomes(retry_id) == 10 * ["failure"]
    assert await only_retry(bench) == retry_id
    dead = await bench.dead_letter(retry_id)
    assert (dead["reason"], dead["error_message"]) == ("exhausted", "failure 11")


@pytest.mark.parametrize("plain", [False, True])
async def test_an_attempt_that_works_completes_the_retry(bench: Bench, plain: bool) -> None:
    calls: list[tuple[int, str]] = []

    def body(invoice: int, by: str) -> None:
        calls.append((invoice, by))
        if len(calls) == 1:
            raise TimeoutError

    app, remind = apps(bench.database.dsn, body, plain=plain)
    async with bench.working(app):
        said = remind(invoice=7, by="post")
        assert (await said if inspect.isawaitable(said) else said) is None
        retry_id = await only_retry(bench)
        await bench.reached("done", retry_id)
    assert calls == [(7, "post"), (7, "post")]
    assert await bench.outcomes(retry_id) == ["success"]


@pytest.mark.parametrize("disguised", [False, True])
async def test_a_resilient_function_that_calls_another_leaves_one_retry(
    bench: Bench, disguised: bool
) -> None:
    await ten_attempts(bench)
    app = retryd.App(bench.database.dsn)

    @app.resilient("mail.send")
    async def send(to: str) -> None:
        raise ConnectionError(to)

    async def remind(to: str) -> None:
        await asyncio.gather(send(to))

    def remind_later(to: str) -> Coroutine[Any, Any, None]:
        return remind(to)

    app.resilient("invoice.remind")(remind_later if disguised else remind)
    retry_id = await bench.capture("invoice.remind.failed", payload={"to": "a"})
    async with bench.working(app):
        await bench.reached("dead", retry_id)
    assert await bench.outcomes(retry_id) == 10 * ["failure"]
    assert await only_retry(bench) == retry_id


@pytest.mark.parametrize("payload", [None, {"invoice": 7, "unknown": 1}, [7], "seven"])
async def test_a_payload_that_does_not_fit_fails_by_its_name(bench: Bench, payload: Any) -> None:
    def body(_: int, __: str) -> None:
        raise AssertionError

    app, _ = apps(bench.database.dsn, body, plain=False)
    retry_id = await bench.capture("invoice.remind.failed", payload=payload)
    async with bench.working(app):
        await bench.reached("dead", retry_id)
    dead = await bench.dead_letter(retry_id)
    assert (dead["reason"], dead["error_type"]) == ("exhausted", "TypeError")


async def test_what_the_function_says_in_an_attempt_counts(bench: Bench) -> None:
    app = retryd.App(bench.database.dsn)

    @app.resilient("invoice.remind")
    async def remind(invoice: int) -> object:
        if invoice == 1:
            return retryd.Reject("no such invoice")
        raise retryd.Cancel("paid")

    rejected = await bench.capture("invoice.remind.failed", payload={"invoice": 1})
    cancelled = await bench.capture("invoice.remind.timeout", payload={"invoice": 2})
    async with bench.working(app):
        await bench.reached("dead", rejected)
        await bench.reached("done", cancelled)
    assert (await bench.dead_letter(rejected))["error_message"] == "no such invoice"
    assert await bench.outcomes(cancelled) == ["cancelled"]


@pytest.mark.parametrize("plain", [False, True])
async def test_a_handler_that_calls_its_own_resilient_function_captures_nothing_new(
    bench: Bench, plain: bool
) -> None:
    def body(invoice: int, by: str) -> None:
        raise ConnectionError(f"{invoice} by {by}")

    await ten_attempts(bench)
    app, remind = apps(bench.database.dsn, body, plain=plain)

    async def on_loop(retry: retryd.Retry) -> None:
        await remind(**retry.payload)

    def in_thread(retry: retryd.Retry) -> None:
        remind(**retry.payload)

    app.handler("invoice.dun")(in_thread if plain else on_loop)
    retry_id = await bench.capture("invoice.dun.failed", payload={"invoice": 7})
    async with bench.working(app):
        await bench.reached("dead", retry_id)
    assert await bench.outcomes(retry_id) == 10 * ["failure"]
    assert await only_retry(bench) == retry_id
