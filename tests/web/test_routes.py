"""What each route tells."""

from __future__ import annotations

import gc
import logging
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from prometheus_client import parser as prometheus
from prometheus_client.openmetrics import parser as openmetrics

from retryd.ports import Readiness
from retryd.web import app
from tests.web.serving import Served

ROUTES = ["/livez", "/readyz", "/health", "/metrics", "/openapi.json"]


def as_problem(response: httpx.Response) -> tuple[str, int]:
    """Return title and status of an error, in the form that RFC 9457 gives it."""
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["type"] == "about:blank"
    assert document["status"] == response.status_code
    return document["title"], document["status"]


async def test_a_process_that_answers_is_alive_whatever_else_is_wrong(served: Served) -> None:
    served.health.hangs = True
    answer = await served.client.get("/livez")
    assert (answer.status_code, answer.text) == (200, "ok\n")


async def test_readiness_is_a_status_with_its_reasons(served: Served) -> None:
    answer = await served.client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "reasons": []})
    served.health.readiness = Readiness(ready=False, reasons=("PostgreSQL is away",))
    answer = await served.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "reasons": ["PostgreSQL is away"]}


async def test_no_answer_in_time_is_not_ready(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "PATIENCE_SECONDS", 0.05)
    served.health.hangs = True
    answer = await served.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["no answer within 0.05 s"]


async def test_health_tells_all_at_once_and_is_always_200(served: Served) -> None:
    served.health.readiness = Readiness(ready=False, reasons=("it is stopping",))
    at = datetime(2026, 1, 1, tzinfo=UTC)
    served.health.facts = {"worker": "host/1/a", "database_away_since": at, "in_flight": [{}]}
    answer = await served.client.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "degraded",
        "version": "1.2.3",
        "ready": False,
        "reasons": ["it is stopping"],
        "worker": "host/1/a",
        "database_away_since": "2026-01-01T00:00:00Z",
        "in_flight": [{}],
    }


@pytest.mark.parametrize(
    ("readiness", "status"),
    [
        (Readiness(ready=True), "ok"),
        (Readiness(ready=True, reasons=("child 1: it is starting",)), "degraded"),
        (Readiness(ready=False), "degraded"),
    ],
)
async def test_health_is_ok_only_when_nothing_is_wrong(
    served: Served, readiness: Readiness, status: str
) -> None:
    served.health.readiness = readiness
    assert (await served.client.get("/health")).json()["status"] == status


async def test_a_scraper_gets_the_format_that_it_accepts(served: Served) -> None:
    served.metrics.rescued(3)
    plain = await served.client.get("/metrics", headers={"accept": "text/plain"})
    assert plain.headers["content-type"].startswith("text/plain; version=")
    plain_families = prometheus.text_string_to_metric_families(plain.text)
    families = {family.name: family for family in plain_families}
    assert [sample.value for sample in families["retryd_rescued"].samples] == [3]
    [build] = families["retryd_build_info"].samples
    assert (build.labels["version"], build.value) == ("1.2.3", 1)
    asked = {"accept": "application/openmetrics-text; version=1.0.0"}
    text = await served.client.get("/metrics", headers=asked)
    assert text.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    parsed = openmetrics.text_string_to_metric_families(text.text)  # type: ignore[no-untyped-call]
    found = {family.name for family in parsed}
    assert {"retryd_rescued", "retryd_claim_duration_seconds"} <= found


@pytest.mark.parametrize("path", ROUTES)
async def test_head_is_get_without_its_body(served: Served, path: str) -> None:
    get, head = await served.client.get(path), await served.client.head(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert head.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize("path", [*ROUTES, "/unknown"])
async def test_no_answer_is_kept_or_taken_for_something_else(served: Served, path: str) -> None:
    headers = (await served.client.get(path)).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "server" not in headers


async def test_an_unknown_path_is_told_as_a_problem(served: Served) -> None:
    assert as_problem(await served.client.get("/nothing/here")) == ("Not Found", 404)
    head = await served.client.head("/nothing/here")
    assert (head.status_code, head.content) == (404, b"")


async def test_a_wrong_method_is_told_with_the_right_one(served: Served) -> None:
    answer = await served.client.post("/livez", content=b"x" * 100_000)
    assert as_problem(answer) == ("Method Not Allowed", 405)
    assert answer.headers["allow"] == "GET"


async def test_a_fault_of_ours_is_told_as_a_problem_and_logged(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    served.health.facts = {"worker": object()}
    answer = await served.client.get("/health")
    assert as_problem(answer) == ("Internal Server Error", 500)
    assert answer.headers["cache-control"] == "no-store"
    assert [
        record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR
    ] == ["request_failed"]
    assert (await served.client.get("/livez")).status_code == 200


async def test_the_routes_are_described(served: Served) -> None:
    document = (await served.client.get("/openapi.json")).json()
    assert document["info"] == {"title": "retryd", "version": "1.2.3"}
    assert set(document["paths"]) == {"/livez", "/readyz", "/health", "/metrics"}
    assert set(document["paths"]["/readyz"]["get"]["responses"]) == {"200", "503"}


async def test_a_hundred_scrapes_leave_nothing_behind(served: Served) -> None:
    async def scrape(times: int) -> tuple[int, int]:
        for _ in range(times):
            (await served.client.get("/metrics")).raise_for_status()
        gc.collect()
        return len(gc.get_objects()), len(list(Path("/dev/fd").iterdir()))

    before, files = await scrape(20)
    after, files_after = await scrape(100)
    assert after - before < 200
    assert files_after <= files
