"""Attempts as spans, in a process whose application speaks OpenTelemetry."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import retryd
from tests.canary import CANARY
from tests.postgres import Connection, Database
from tests.waiting import until
from tests.worker.conftest import app_with

PARENT = "00-0000000000000000000000000000abcd-00000000000000ef-01"


@pytest.fixture(scope="module")
def exporter() -> Iterator[InMemorySpanExporter]:
    """Where the application sends its spans; a process sets that up once."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    yield exporter
    provider.shutdown()


class Spans:
    """The spans of a test."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def named(self, name: str) -> Sequence[ReadableSpan]:
        """Return those that have ended, oldest first."""
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    async def one(self, name: str) -> Any:
        """Wait for the only one of this name."""
        [span] = await until(lambda: self.named(name))
        return span

    @property
    def text(self) -> str:
        """All that is told of them."""
        return "".join(span.to_json() for span in self._exporter.get_finished_spans())


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Spans:
    """What has ended since the test began."""
    exporter.clear()
    return Spans(exporter)


@asynccontextmanager
async def working(
    app: retryd.App, database: Database, timeout_seconds: float = 30, **handlers: Any
) -> AsyncIterator[None]:
    """Run a worker as an application does."""
    config = {
        "retry": {"poll_interval_seconds": 0.1, "default_timeout_seconds": timeout_seconds},
        "database": {"url": database.dsn},
        "handlers": handlers,
    }
    async with retryd.running(app, config):
        yield


async def capture(connection: Connection, payload: object = None, **details: Any) -> int:
    """Capture a failure that is due at once."""
    now = await connection.fetchval("select retryd.now()")
    [retry_id] = await retryd.capture(
        connection, "job.run.failed", payload, not_before=now, **details
    )
    return retry_id


async def test_an_attempt_is_a_trace_of_its_own_linked_to_the_one_that_failed(
    database: Database, connection: Connection, spans: Spans
) -> None:
    tracer = trace.get_tracer("shop")

    async def job(_: retryd.Retry) -> None:
        with tracer.start_as_current_span("reached"):
            pass

    with tracer.start_as_current_span("checkout") as checkout:
        retry_id = await capture(connection, event_id="e-1", correlation_id="c-1")
    async with working(app_with(job), database):
        attempt = await spans.one("process job.run")
    reached = await spans.one("reached")
    assert attempt.parent is None
    assert attempt.kind is SpanKind.CONSUMER
    assert attempt.context.trace_id != checkout.get_span_context().trace_id
    [link] = attempt.links
    assert link.context.trace_id == checkout.get_span_context().trace_id
    assert link.context.span_id == checkout.get_span_context().span_id
    assert reached.parent.span_id == attempt.context.span_id
    assert attempt.status.status_code is StatusCode.UNSET
    assert dict(attempt.attributes) == {
        "messaging.system": "retryd",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "job.run",
        "messaging.message.id": "e-1",
        "messaging.message.conversation_id": "c-1",
        "retryd.retry.id": retry_id,
        "retryd.event_type": "job.run.failed",
        "retryd.handler": "job",
        "retryd.attempt": 1,
        "retryd.max_retries": 3,
        "retryd.life": 1,
        "retryd.outcome": "success",
    }


async def test_a_plain_function_runs_inside_the_span_of_its_attempt(
    database: Database, connection: Connection, spans: Spans
) -> None:
    def job(_: retryd.Retry) -> None:
        with trace.get_tracer("shop").start_as_current_span("reached"):
            pass

    await capture(connection)
    async with working(app_with(job), database):
        attempt = await spans.one("process job.run")
    reached = await spans.one("reached")
    assert reached.parent.span_id == attempt.context.span_id
    assert attempt.links == ()


async def test_a_failure_tells_its_type_and_not_its_words(
    database: Database, connection: Connection, spans: Spans
) -> None:
    async def job(retry: retryd.Retry) -> None:
        raise LookupError(retry.payload)

    await capture(connection, "sesame")
    async with working(app_with(job), database):
        attempt = await spans.one("process job.run")
    assert attempt.status.status_code is StatusCode.ERROR
    assert attempt.attributes["error.type"] == "LookupError"
    assert attempt.attributes["retryd.outcome"] == "failure"
    assert "sesame" not in spans.text


async def test_an_attempt_without_an_end_is_told_as_a_timeout(
    database: Database, connection: Connection, spans: Spans
) -> None:
    async def job(_: retryd.Retry) -> None:
        await asyncio.Event().wait()

    await capture(connection)
    async with working(app_with(job), database, 0.2):
        attempt = await spans.one("process job.run")
    assert attempt.status.status_code is StatusCode.ERROR
    assert attempt.attributes["error.type"] == "TimeoutError"


@pytest.mark.parametrize(
    ("attributes", "linked"),
    [
        ({"traceparent": PARENT, "tracestate": "shop=7"}, True),
        ({"traceparent": "somewhere"}, False),
        ({"traceparent": 7}, False),
    ],
)
async def test_who_captures_in_sql_names_the_trace_in_the_attributes(
    database: Database,
    connection: Connection,
    spans: Spans,
    attributes: dict[str, Any],
    *,
    linked: bool,
) -> None:
    async def job(_: retryd.Retry) -> None:
        pass

    await capture(connection, attributes=attributes)
    async with working(app_with(job), database):
        attempt = await spans.one("process job.run")
    assert [link.context.trace_state.to_header() for link in attempt.links] == (
        ["shop=7"] if linked else []
    )
    assert [link.context.trace_id for link in attempt.links] == ([0xABCD] if linked else [])


@pytest.mark.parametrize("state", [CANARY, f"shop={CANARY},", f"7={CANARY}", f"a={CANARY}=", 7])
async def test_a_state_of_a_trace_that_is_none_is_left_out_and_told_to_nobody(
    database: Database,
    connection: Connection,
    spans: Spans,
    caplog: pytest.LogCaptureFixture,
    *,
    state: object,
) -> None:
    async def job(_: retryd.Retry) -> None:
        pass

    caplog.set_level(logging.DEBUG)
    await capture(connection, attributes={"traceparent": PARENT, "tracestate": state})
    async with working(app_with(job), database):
        [link] = (await spans.one("process job.run")).links
    assert (link.context.trace_id, link.context.trace_state.to_header()) == (0xABCD, "")
    assert CANARY not in caplog.text


@pytest.mark.parametrize("kind", ["command", "isolated"])
async def test_a_program_finds_the_trace_of_its_attempt_among_its_variables(
    database: Database,
    connection: Connection,
    spans: Spans,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    kind: str,
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    text = f"import os; open({str(tmp_path / 'told')!r}, 'w').write(os.environ['TRACEPARENT'])"
    (tmp_path / "tracing_program.py").write_text(f"def run(retry):\n    {text}\n")
    handler = (
        {"kind": "command", "argv": [sys.executable, "-c", text]}
        if kind == "command"
        else {"kind": "python", "target": "tracing_program:run", "isolation": "process"}
    )
    async with working(retryd.App(), database, job={"match": ["job.*"], **handler}):
        await capture(connection)
        attempt = await spans.one("process job.run")
    context = attempt.context
    expected = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    assert (tmp_path / "told").read_text() == expected


async def test_what_a_resilient_function_captures_bears_the_trace_of_its_call(
    database: Database, connection: Connection, spans: Spans
) -> None:
    app = retryd.App(database.dsn)

    @app.resilient("job.run")
    def plain() -> None:
        raise LookupError

    with trace.get_tracer("shop").start_as_current_span("checkout") as checkout:
        plain()
    query = "select attributes ->> 'traceparent' from retryd.retries"
    parent = await connection.fetchval(query)
    assert f"{checkout.get_span_context().span_id:016x}" in parent
