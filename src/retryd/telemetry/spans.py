"""Attempts as spans; loaded only where the process speaks OpenTelemetry."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    StatusCode,
    get_current_span,
    get_tracer,
    use_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from retryd.domain.errors import PayloadUndecodable
from retryd.domain.outcome import Failure, Reject
from retryd.telemetry.attempts import error_type_of
from retryd.telemetry.metrics import word_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from retryd.domain.outcome import Outcome
    from retryd.domain.retry import Retry
    from retryd.ports import Handler

KEY = r"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
VALUE = r"[ -+\--<>-~]{0,255}[!-+\--<>-~]"
# OpenTelemetry writes any other to its log, where nothing of what producers give belongs.
STATE = re.compile(f"{KEY}={VALUE}(?:,{KEY}={VALUE})*")
TIMER_SECONDS = 0.05  # what runs longer than its time but for this was ended by its timeout


class TracedHandler:
    """Runs a handler inside a span: the root of a trace of its own, linked to that of the capture.

    An attempt comes late, and there may be many: they are no part of the trace that failed. Names
    are those of OpenTelemetry's conventions for messaging.
    """

    def __init__(self, handler: Handler, version: str) -> None:
        self.name = handler.name
        self.definition: Mapping[str, object] = handler.definition
        self.stoppable = handler.stoppable
        self._handler = handler
        self._tracer = get_tracer("retryd", version)

    async def run(self, retry: Retry, timeout_seconds: float) -> Outcome:
        """Make one attempt; its span is current meanwhile."""
        span = self._span_of(retry)
        began_at = time.monotonic()
        with use_span(
            span, end_on_exit=True, record_exception=False, set_status_on_exception=False
        ):
            try:
                outcome = await self._handler.run(retry, timeout_seconds)
            except asyncio.CancelledError:
                late = time.monotonic() - began_at > timeout_seconds - TIMER_SECONDS
                failed(span, "TimeoutError" if late else "CancelledError")
                raise
            span.set_attribute("retryd.outcome", word_of(outcome))
            if isinstance(outcome, Failure | Reject):
                failed(span, error_type_of(outcome) or "")
            return outcome

    def _span_of(self, retry: Retry) -> Span:
        return self._tracer.start_span(
            f"process {retry.operation}",
            context=Context(),
            kind=SpanKind.CONSUMER,
            attributes=facts_of(retry),
            links=links_of(retry),
        )


def failed(span: Span, error_type: str) -> None:
    """Say what kind of error an attempt met; its text may be anything, and is kept back."""
    span.set_status(StatusCode.ERROR)
    span.set_attribute("error.type", error_type)


def facts_of(retry: Retry) -> dict[str, Any]:
    """Return the attributes of a span: names and numbers, nothing of the payload."""
    facts = {
        "messaging.system": "retryd",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": retry.operation,
        "messaging.message.id": retry.event_id,
        "messaging.message.conversation_id": retry.correlation_id,
        "retryd.retry.id": retry.id,
        "retryd.event_type": retry.event_type,
        "retryd.handler": retry.handler,
        "retryd.attempt": retry.attempt,
        "retryd.max_retries": retry.max_retries,
        "retryd.life": retry.life,
    }
    return {name: value for name, value in facts.items() if value is not None}


def links_of(retry: Retry) -> list[Link]:
    """Return a link to the span in which the failure was captured, if the event names one."""
    if "traceparent" not in retry.attributes_text:
        return []
    try:
        attributes = retry.attributes
    except PayloadUndecodable:  # the handler will see it
        return []
    parent, state = attributes.get("traceparent"), attributes.get("tracestate")
    carrier = {"traceparent": parent} if isinstance(parent, str) else {}
    if isinstance(state, str) and STATE.fullmatch(state):
        carrier["tracestate"] = state
    found = TraceContextTextMapPropagator().extract(carrier, Context())
    context = get_current_span(found).get_span_context()
    return [Link(context)] if context.is_valid else []
