"""`retryd.testing`: an attempt as a worker makes it, with neither worker nor database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

import retryd
from retryd import testing
from retryd.testing import (
    Bury,
    Cancelled,
    Complete,
    Failure,
    Policy,
    Release,
    Reschedule,
    Snooze,
    Success,
    make_retry,
    run_handler,
    run_handler_sync,
)

app = retryd.App()


@app.handler("invoice.*", policy="email")
async def send(retry: retryd.Retry) -> object:
    """Do what the payload says."""
    match retry.payload:
        case {"raise": str(text)}:
            raise ConnectionError(text)
        case {"snooze": delay}:
            return retryd.Snooze(delay)
        case {"reject": why}:
            return retryd.Reject(why)
        case {"cancel": why}:
            return retryd.Cancel(why)
        case "hang":
            await asyncio.Event().wait()
    return None


@app.handler("*.sync", name="plain")
def sync(retry: retryd.Retry) -> None:
    """Fail once."""
    if retry.attempt == 1:
        raise OSError(retry.operation)


@app.resilient("invoice.remind")
async def remind(invoice: int) -> None:
    """Fail for the first invoice."""
    if invoice == 1:
        raise TimeoutError


def test_a_retry_is_the_first_attempt_of_a_first_life() -> None:
    retry = make_retry()
    assert (retry.attempt, retry.life, retry.lost_attempts, retry.snoozes) == (1, 1, 0, 0)
    assert (retry.event_type, retry.operation, retry.payload) == (
        *("test.run.failed", "test.run"),
        {},
    )
    assert (retry.original_error, retry.last_error, retry.correlation_id) == (None, None, None)
    assert retry.id != make_retry().id
    assert retry.lease_expires_at > retry.created_at


def test_a_retry_is_what_it_is_told_to_be() -> None:
    created = datetime(2030, 1, 1, tzinfo=UTC)
    retry = make_retry(
        "invoice.email.error",
        {"n": (1, 2)},
        handler="send",
        policy="email",
        id=7,
        claim_token=9,
        event_id="e",
        source="shop",
        correlation_id="order-7",
        attributes={"a": 1},
        error=ConnectionError("no route"),
        last_error=retryd.ErrorInfo("OSError"),
        priority=0,
        attempt=3,
        lost_attempts=1,
        snoozes=2,
        max_retries=5,
        life=2,
        created_at=created,
    )
    assert retry.payload == {"n": [1, 2]}
    assert retry.attributes == {"a": 1}
    assert retry.original_error == retryd.ErrorInfo("ConnectionError", "no route")
    assert retry.last_error == retryd.ErrorInfo("OSError")
    assert (retry.id, retry.claim_token, retry.event_id, retry.source) == (7, 9, "e", "shop")
    assert (retry.operation, retry.handler, retry.policy) == ("invoice.email", "send", "email")
    assert (retry.priority, retry.attempt, retry.lost_attempts, retry.snoozes) == (0, 3, 1, 2)
    assert (retry.max_retries, retry.life, retry.created_at) == (5, 2, created)
    assert retry.correlation_id == "order-7"


def test_a_payload_that_no_capture_would_take_is_refused() -> None:
    with pytest.raises(retryd.Refused, match="at /at is of type datetime"):
        make_retry(payload={"at": datetime(2030, 1, 1, tzinfo=UTC)})


async def test_success_completes() -> None:
    attempt = await run_handler(app, "send", {"n": 1})
    assert (attempt.outcome, attempt.decision) == (Success(), Complete())
    assert attempt.succeeded
    assert (attempt.next_delay, attempt.buried) == (None, None)
    assert attempt.retry.operation == "invoice.test"
    assert attempt.retry.handler == "send"


async def test_a_failure_is_tried_again_by_the_policy() -> None:
    attempt = await run_handler(app, send, {"raise": "no route"})
    match attempt.outcome:
        case Failure(error_type="ConnectionError", message="no route", stack=str(stack)):
            assert "raise ConnectionError" in stack
        case other:
            pytest.fail(f"the outcome is {other}")
    assert not attempt.succeeded
    assert attempt.decision == Reschedule(4.0)
    assert attempt.next_delay == 4.0


async def test_the_last_attempt_buries() -> None:
    attempt = await run_handler(app, send, {"raise": "no route"}, attempt=3)
    assert attempt.decision == Bury("exhausted")
    assert attempt.buried == "exhausted"
    assert attempt.next_delay is None


async def test_a_policy_of_ones_own_decides() -> None:
    policy = Policy(
        "email",
        max_retries=5,
        backoff="constant",
        initial_delay_seconds=30,
        give_up_on=("OSError",),
    )
    attempt = await run_handler(app, send, {"raise": "x"}, policy=policy, attempt=4)
    assert (attempt.retry.policy, attempt.retry.max_retries) == ("email", 5)
    assert attempt.next_delay == 30.0
    assert (await run_handler(app, sync, policy=policy)).buried == "rejected"


async def test_snooze_reject_and_cancel_are_outcomes_to_compare_with() -> None:
    snoozed = await run_handler(app, send, {"snooze": 60})
    assert (snoozed.outcome, snoozed.decision) == (Snooze(60), Release(60.0, snooze=True))
    assert snoozed.next_delay == 60.0
    rejected = await run_handler(app, send, {"reject": "never"})
    assert (rejected.outcome, rejected.buried) == (testing.Reject("never"), "rejected")
    cancelled = await run_handler(app, send, {"cancel": "paid"})
    assert (cancelled.outcome, cancelled.decision) == (testing.Cancel("paid"), Cancelled("paid"))


async def test_a_handler_that_hangs_fails_at_its_timeout() -> None:
    attempt = await run_handler(app, send, "hang", policy=Policy(timeout_seconds=0.01))
    assert attempt.outcome == Failure("TimeoutError", "no end within 0.01 s")
    assert attempt.next_delay == 4.0


def test_plain_functions_in_tests_that_are_no_coroutines() -> None:
    first = run_handler_sync(app, sync)
    assert first.outcome.message == "test.sync" if isinstance(first.outcome, Failure) else False
    assert run_handler_sync(app, "plain", attempt=2).succeeded


async def test_a_resilient_function_is_run_as_its_handler() -> None:
    assert (await run_handler(app, remind, {"invoice": 2})).succeeded
    failed = await run_handler(app, remind, {"invoice": 1})
    assert isinstance(failed.outcome, Failure)
    assert failed.outcome.error_type == "TimeoutError"


async def test_an_event_type_of_ones_own_reaches_the_handler() -> None:
    attempt = await run_handler(app, "send", event_type="invoice.email.timeout")
    assert attempt.retry.operation == "invoice.email"


async def test_the_preset_of_an_operation_is_its_policy() -> None:
    shop = retryd.App()
    shop.handler("event.*", name="publish")(send)
    assert (await run_handler(shop, "publish")).retry.max_retries == 5


async def test_a_handler_that_is_not_there_is_named() -> None:
    with pytest.raises(retryd.NotFound, match="no handler 'mail'; it has plain, remind, send"):
        await run_handler(app, "mail")
    with pytest.raises(retryd.NotFound, match="it has none"):
        await run_handler(retryd.App(), send)


async def test_a_function_with_two_names_is_asked_for_by_one() -> None:
    shop = retryd.App()
    shop.handler("a", name="one")(send)
    shop.handler("b", name="two")(send)
    with pytest.raises(retryd.Refused, match="one, two"):
        await run_handler(shop, send)
    assert (await run_handler(shop, "two")).retry.operation == "b"
