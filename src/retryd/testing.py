"""For the tests of applications: a handler's attempt without a worker and without a database."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final, TypedDict, Unpack

from retryd.client.app import App, Registration
from retryd.client.event import checked
from retryd.domain.decide import decide
from retryd.domain.decision import (
    Bury,
    Cancelled,
    Complete,
    Decision,
    Reason,
    Release,
    Reschedule,
)
from retryd.domain.errors import NotFound, Refused
from retryd.domain.outcome import Cancel, Failure, Outcome, Reject, Snooze, Success
from retryd.domain.patterns import operation_of
from retryd.domain.policy import DEFAULT, PRESETS, Policy, choose
from retryd.domain.retry import ErrorInfo, Retry
from retryd.handlers.python import PythonHandler

__all__ = [
    "Attempt",
    "Bury",
    "Cancel",
    "Cancelled",
    "Complete",
    "Failure",
    "Policy",
    "Reject",
    "Release",
    "Reschedule",
    "Snooze",
    "Success",
    "make_retry",
    "run_handler",
    "run_handler_sync",
]

LEASE: Final = timedelta(seconds=60)
MIDDLE: Final = 0.5
"""The draw that leaves jitter out of the delays of the default policy."""

_ids = count(1)


class Fields(TypedDict, total=False):
    """What may be told of a retry; `error` is the exception that came in with the event."""

    id: int
    claim_token: int
    event_id: str
    source: str
    correlation_id: str | None
    attributes: Mapping[str, Any]
    error: BaseException | None
    last_error: ErrorInfo | None
    priority: int
    attempt: int
    lost_attempts: int
    snoozes: int
    max_retries: int
    life: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that is over: what the handler said, and what a worker makes of it."""

    retry: Retry
    outcome: Outcome
    decision: Decision

    @property
    def succeeded(self) -> bool:
        """Whether the operation worked."""
        return isinstance(self.outcome, Success)

    @property
    def next_delay(self) -> float | None:
        """Seconds until the next attempt, without jitter; None if there is none."""
        match self.decision:
            case Reschedule(delay=delay) | Release(delay=delay):
                return delay
            case _:
                return None

    @property
    def buried(self) -> Reason | None:
        """The reason for which the retry is a dead letter now; None if it is none."""
        return self.decision.reason if isinstance(self.decision, Bury) else None


def make_retry(
    event_type: str = "test.run.failed",
    payload: Any = None,
    *,
    handler: str = "test",
    policy: str | None = None,
    **fields: Unpack[Fields],
) -> Retry:
    """Make a retry as a handler gets it: first attempt, first life, unless told otherwise.

    Payload, attributes and error go through the checks and the JSON of a capture. Raises Refused.
    """
    number = fields.get("id") or next(_ids)
    now = fields.get("created_at") or datetime.now(UTC)
    event = checked(
        {
            "event_type": event_type,
            "payload": payload,
            "event_id": fields.get("event_id", f"test-{number}"),
            "source": fields.get("source", ""),
            "correlation_id": fields.get("correlation_id"),
            "error": fields.get("error"),
            "attributes": fields.get("attributes"),
            "priority": fields.get("priority", 5),
        }
    )
    last = fields.get("last_error")
    return Retry(
        id=number,
        claim_token=fields.get("claim_token", number),
        event_id=event["event_id"],
        event_type=event_type,
        operation=operation_of(event_type),
        handler=handler,
        policy=policy,
        source=event["source"],
        correlation_id=event["correlation_id"],
        payload_text=event["payload"],
        attributes_text=event["attributes"],
        error_type=event["error_type"],
        error_message=event["error_message"],
        last_error_type=None if last is None else last.type,
        last_error_message=None if last is None else last.message,
        priority=event["priority"],
        attempt=fields.get("attempt", 1),
        lost_attempts=fields.get("lost_attempts", 0),
        snoozes=fields.get("snoozes", 0),
        max_retries=fields.get("max_retries", DEFAULT.max_retries),
        life=fields.get("life", 1),
        created_at=now,
        lease_expires_at=now + LEASE,
    )


async def run_handler(
    app: App,
    handler: str | Callable[..., Any],
    payload: Any = None,
    *,
    event_type: str | None = None,
    policy: Policy | None = None,
    **fields: Unpack[Fields],
) -> Attempt:
    """Make one attempt with a handler of the app: its name, or its function.

    The policy is the preset that a worker without configuration takes, unless one is given. Raises
    NotFound for a handler that the app has not, and what `make_retry` raises; never what the
    handler raises, which is its outcome.
    """
    registration = registration_of(app, handler)
    event_type = event_type or event_type_for(registration)
    policy = policy or choose(PRESETS, operation_of(event_type), registration.policy)
    fields.setdefault("max_retries", policy.max_retries)
    retry = make_retry(event_type, payload, handler=registration.name, policy=policy.name, **fields)
    outcome = await outcome_of(PythonHandler(registration), retry, policy.timeout_seconds)
    return Attempt(retry, outcome, decide(retry, outcome, policy, MIDDLE))


def run_handler_sync(
    app: App,
    handler: str | Callable[..., Any],
    payload: Any = None,
    *,
    event_type: str | None = None,
    policy: Policy | None = None,
    **fields: Unpack[Fields],
) -> Attempt:
    """Do what `run_handler` does, in a test that is no coroutine."""
    return asyncio.run(
        run_handler(app, handler, payload, event_type=event_type, policy=policy, **fields)
    )


async def outcome_of(handler: PythonHandler, retry: Retry, timeout_seconds: float) -> Outcome:
    """Run the attempt; what can be stopped is stopped at the timeout, as a worker does it."""
    try:
        async with asyncio.timeout(timeout_seconds if handler.stoppable else None):
            return await handler.run(retry, timeout_seconds)
    except TimeoutError:
        return Failure("TimeoutError", f"no end within {timeout_seconds:g} s")


def registration_of(app: App, handler: str | Callable[..., Any]) -> Registration:
    """Find a handler by its name or function, with what decorators made of that."""
    if isinstance(handler, str):
        found = [each for name, each in app.handlers.items() if name == handler]
    else:
        function = inspect.unwrap(handler)
        found = [
            each for each in app.handlers.values() if inspect.unwrap(each.function) is function
        ]
    if len(found) == 1:
        return found[0]
    names = ", ".join(sorted(each.name for each in found or app.handlers.values())) or "none"
    if found:
        raise Refused(f"the function is several handlers: give the name of one, {names}")
    raise NotFound(f"the app has no handler {handler!r}; it has {names}")


def event_type_for(registration: Registration) -> str:
    """Make up an event type that the handler takes: `invoice.test.failed` for `invoice.*`."""
    return f"{registration.match[0].replace('*', 'test')}.failed"
