"""Traces of `retryd run`, as a collector receives them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from typing_extensions import override

import retryd
from tests.acceptance.running import running
from tests.postgres import Connection, Database
from tests.waiting import until

PARENT = "00-0000000000000000000000000000abcd-00000000000000ef-01"
APP = """
import pathlib, sys
import retryd

app = retryd.App()

@app.handler("job.*")
async def job(retry):
    (pathlib.Path(__file__).parent / "loaded").write_text(" ".join(sys.modules))
    if retry.attempt == 1:
        raise LookupError(retry.payload)
"""

# What Python does where there is no such package.
MISSING = """
import sys
sys.modules["opentelemetry.sdk"] = sys.modules["opentelemetry.exporter"] = None
"""


class Collector(ThreadingHTTPServer):
    """Takes spans as OTLP over HTTP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Inbox)
        self.services: set[str] = set()
        self.spans: list[Span] = []
        self.paths: set[str] = set()

    def take(self, path: str, body: bytes) -> None:
        """Read a request."""
        self.paths.add(path)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.services |= {
                each.value.string_value
                for each in resource.resource.attributes
                if each.key == "service.name"
            }
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]


class Inbox(BaseHTTPRequestHandler):
    """One request."""

    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.take(self.path, body)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector."""
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever, args=(0.02,))
        thread.start()
        yield collector
        collector.shutdown()
        thread.join()


async def capture(connection: Connection) -> int:
    """Capture a failure that is due at once."""
    now = await connection.fetchval("select retryd.now()")
    [retry_id] = await retryd.capture(
        connection,
        "job.run.failed",
        "sesame",
        not_before=now,
        attributes={"traceparent": PARENT},
    )
    return retry_id


async def test_attempts_reach_the_collector_that_the_standard_variables_name(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    (tmp_path / "billing.py").write_text(APP)
    with collecting() as collector:
        endpoint = f"http://127.0.0.1:{collector.server_port}"
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "RETRYD_RETRY__RETRY_POLICIES": '{"default": {"initial_delay_seconds": 0.01}}',
        }
        async with running(tmp_path, database.dsn, **variables) as worker:
            await until(lambda: worker.said("worker_started"))
            await capture(connection)
            await until(lambda: worker.said("attempt_succeeded"))
            worker.process.terminate()
            assert await worker.process.wait() == 0
    assert collector.paths == {"/v1/traces"}
    assert collector.services == {"retryd"}
    failed, done = sorted(collector.spans, key=lambda span: span.start_time_unix_nano)
    assert {failed.name, done.name} == {"process job.run"}
    assert failed.trace_id != done.trace_id
    for span in (failed, done):
        assert span.kind == Span.SPAN_KIND_CONSUMER
        assert span.parent_span_id == b""
        assert [link.trace_id.hex() for link in span.links] == [PARENT.split("-")[1]]
    assert failed.status.code == Status.STATUS_CODE_ERROR
    facts = {each.key: each.value for each in failed.attributes}
    assert facts["error.type"].string_value == "LookupError"
    assert facts["retryd.attempt"].int_value == 1
    assert "sesame" not in str(collector.spans)


async def test_a_collector_that_is_away_keeps_nobody_from_work_or_from_the_end(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    (tmp_path / "billing.py").write_text(APP)
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    async with running(tmp_path, database.dsn, **variables) as worker:
        await until(lambda: worker.said("worker_started"))
        await capture(connection)
        [line] = await until(lambda: worker.said("traces_not_sent"))
        assert line["level"] == "warning"
        assert line["reason"]
        worker.process.terminate()
        assert await worker.process.wait() == 0


@pytest.mark.parametrize(
    ("variables", "first", "remedy"),
    [
        ({}, MISSING, "pip install 'retryd[otel]'"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "", "http/protobuf"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, "", "OTEL_"),
    ],
)
async def test_traces_that_cannot_be_had_are_told_and_work_goes_on(
    database: Database,
    connection: Connection,
    tmp_path: Path,
    *,
    variables: dict[str, str],
    first: str,
    remedy: str,
) -> None:
    (tmp_path / "billing.py").write_text(first + APP)
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    async with running(tmp_path, database.dsn, **endpoint, **variables) as worker:
        [line] = await until(lambda: worker.said("traces_off"))
        assert remedy in line["remedy"]
        await capture(connection)
        await until(lambda: worker.said("attempt_failed"))


async def test_what_the_server_answers_is_no_part_of_any_trace(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    (tmp_path / "billing.py").write_text(APP)
    with collecting() as collector:
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}"}
        async with running(tmp_path, database.dsn, **endpoint) as worker:
            [listening] = await until(lambda: worker.said("http_listening"))
            async with httpx.AsyncClient(base_url=listening["address"], trust_env=False) as client:
                assert (await client.get("/metrics")).status_code == 200
            await capture(connection)
            await until(lambda: worker.said("attempt_failed"))
            worker.process.terminate()
            assert await worker.process.wait() == 0
    assert {span.name for span in collector.spans} == {"process job.run"}
    assert collector.paths == {"/v1/traces"}


async def test_without_an_endpoint_nothing_is_traced(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    (tmp_path / "billing.py").write_text(APP)
    async with running(tmp_path, database.dsn) as worker:
        await until(lambda: worker.said("worker_started"))
        await capture(connection)
        await until((tmp_path / "loaded").exists)
        loaded = (tmp_path / "loaded").read_text().split()
    assert [name for name in loaded if name.startswith("opentelemetry.sdk")] == []
    assert "retryd.telemetry.spans" not in loaded
