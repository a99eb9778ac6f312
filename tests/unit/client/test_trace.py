"""The trace that is current goes with what is captured in it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    use_span,
)

from retryd.client.event import checked, encode_batch
from retryd.client.trace import current_trace
from retryd.domain.errors import Refused

PARENT = "00-0000000000000000000000000000abcd-00000000000000ef-01"


@pytest.fixture
def span() -> Iterator[None]:
    """A span that is current."""
    state = TraceState([("shop", "7")])
    context = SpanContext(
        0xABCD, 0xEF, is_remote=False, trace_flags=TraceFlags(1), trace_state=state
    )
    with use_span(NonRecordingSpan(context)):
        yield


def attributes(**event: Any) -> Any:
    """Return the attributes that an event is captured with."""
    return json.loads(checked({"event_type": "a.failed", **event})["attributes"])


@pytest.mark.usefixtures("span")
def test_what_is_captured_in_a_span_bears_its_trace() -> None:
    assert attributes() == {"traceparent": PARENT, "tracestate": "shop=7"}
    assert attributes(attributes={"shop": 7})["traceparent"] == PARENT
    assert PARENT in encode_batch([{"event_type": "a.failed"}])


@pytest.mark.usefixtures("span")
def test_a_trace_that_is_given_stays_alone() -> None:
    assert attributes(attributes={"traceparent": "x"}) == {"traceparent": "x"}


@pytest.mark.usefixtures("span")
def test_a_trace_takes_no_room_from_what_is_given() -> None:
    most = {"note": "x" * (16 * 1024 - len('{"note": ""}'))}
    assert attributes(attributes=most) == most
    with pytest.raises(Refused, match="attributes"):
        attributes(attributes={**most, "one": 1})


def test_outside_a_span_nothing_is_added() -> None:
    assert current_trace() == {}
    assert attributes() == {}


def test_capturing_loads_nothing_of_opentelemetry() -> None:
    program = (
        "import sys; from retryd.client.event import checked; checked({'event_type': 'a.failed'});"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    assert subprocess.check_output([sys.executable, "-c", program]).strip() == b"[]"
