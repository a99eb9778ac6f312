"""Kind `http` in a real worker, as the configuration has it: from the claim to the answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

import retryd
from retryd.compose import load_configuration
from retryd.compose.daemon import Daemon
from tests.postgres import Connection, Database
from tests.unit.handlers.receiver import (
    Answer,
    Receiver,
    drips,
    receiving,
    resets,
    says,
    says_bytes,
)
from tests.waiting import until
from tests.worker.conftest import Bench

PLAN = {
    "poll_interval_seconds": 0.1,
    "shutdown_timeout_seconds": 5,
    "retry_policies": {
        "default": {"initial_delay_seconds": 0.01, "max_delay_seconds": 0.05, "timeout_seconds": 1},
        "slow": {"timeout_seconds": 30},
        "patient": {"initial_delay_seconds": 0.01, "max_delay_seconds": 0.05, "max_retries": 1000},
    },
}


@asynccontextmanager
async def delivering(
    database: Database, answer: Answer, blocks: Mapping[str, Any] | None = None, **settings: Any
) -> AsyncIterator[Receiver]:
    """Run a worker whose one handler posts to a receiver that answers like this.

    `blocks` of the configuration replace those of the plan; the settings are the handler's.
    """
    async with receiving(answer) as receiver:
        hook = {
            "kind": "http",
            "match": ["job.*"],
            "url": receiver.url,
            "allow_cidrs": ["127.0.0.0/8"],
            **settings,
        }
        config = {"retry": PLAN, **(blocks or {})}
        config |= {"database": {"url": database.dsn}, "handlers": {"hook": hook}}
        async with retryd.running(retryd.App(), config):
            yield receiver


async def test_a_failure_is_delivered_once_it_is_taken(bench: Bench) -> None:
    retry_id = await bench.capture(payload={"order": 7})
    async with delivering(bench.database, says("202 Accepted")) as receiver:
        await bench.reached("done", retry_id)
    [request] = receiver.requests
    assert json.loads(request.body) == {"order": 7}
    assert request.headers["ce-retryid"] == str(retry_id)
    assert await bench.outcomes(retry_id) == ["success"]


async def test_a_delivery_tells_how_often_its_failure_has_come_out_of_retryd(bench: Bench) -> None:
    first = await bench.capture(attributes={})
    third = await bench.capture(attributes={"retryd-hops": 2})
    async with delivering(bench.database, says("200 OK")) as receiver:
        await bench.reached("done", first, third)
    hops = {it.headers["ce-retryid"]: it.headers["retryd-hops"] for it in receiver.requests}
    assert hops == {str(first): "1", str(third): "3"}


async def test_a_target_that_fails_is_called_again_under_the_same_id(bench: Bench) -> None:
    retry_id = await bench.capture()
    async with delivering(bench.database, says("503 Busy", b"full")) as receiver:
        await bench.reached("dead", retry_id)
    dead = await bench.dead_letter(retry_id)
    assert (dead["reason"], dead["error_type"]) == ("exhausted", "http.503")
    assert dead["error_message"] == "503 Service Unavailable: full"
    assert {it.headers["webhook-id"] for it in receiver.requests} == {f"retry_{retry_id}_1"}
    assert [it.headers["ce-retryattempt"] for it in receiver.requests] == ["1", "2", "3"]


async def test_what_the_target_will_never_take_is_dead_at_once(bench: Bench) -> None:
    retry_id = await bench.capture()
    async with delivering(bench.database, says("422 No", b"no such order")):
        await bench.reached("dead", retry_id)
    dead = await bench.dead_letter(retry_id)
    assert (dead["reason"], dead["error_type"], dead["attempt"]) == ("rejected", "http.422", 1)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (drips(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"), "TimeoutError"),
        (resets, "http.unknown"),
    ],
    ids=["drips", "resets"],
)
async def test_a_target_that_does_not_answer_costs_an_attempt_and_no_more(
    bench: Bench, answer: Answer, kind: str
) -> None:
    retry_id = await bench.capture()
    async with delivering(bench.database, answer):
        await bench.reached("dead", retry_id)
    dead = await bench.dead_letter(retry_id)
    assert (dead["error_type"], dead["attempt"], dead["lost_attempts"]) == (kind, 3, 0)


@pytest.mark.parametrize(
    "answer",
    [
        says("500 \0No", b"\0", "X: \0"),
        says("422 No", b'{"error": "\\u0000 \0"}'),
        says("500 No", b"\xff\xfe\xed\xa0\x80\xc0\x80"),
        says(
            "302 Found", b"", "Location: /\0\ud800".encode(errors="surrogatepass").decode("latin-1")
        ),
        says_bytes(
            b"HTTP/1.1 500 \xff\xed\xa0\x80\r\nLocation: \xff\r\nContent-Length: 1\r\n\r\n\0"
        ),
        says_bytes(b"\0" * 1000),
    ],
    ids=["NUL", "NUL in JSON", "no text", "a header", "a status", "no HTTP"],
)
async def test_what_a_target_says_breaks_no_record_of_its_failure(
    bench: Bench, answer: Answer
) -> None:
    retry_id = await bench.capture()
    async with delivering(bench.database, answer):
        await bench.reached("dead", retry_id)
    dead = await bench.dead_letter(retry_id)
    assert dead["error_type"].startswith("http.")
    assert dead["error_message"]
    assert dead["lost_attempts"] == 0
    assert await bench.outcomes(retry_id) == ["failure"] * dead["attempt"]


async def test_a_target_that_is_gone_is_left_alone_until_a_person_resumes_it(
    bench: Bench, connection: Connection
) -> None:
    retry_id = await bench.capture()
    async with delivering(bench.database, says("410 Gone", b"moved")) as receiver:
        await until(lambda: paused(connection))
        await until(lambda: waiting(bench, retry_id))
        later = await bench.capture()
        await until(lambda: looked_again(connection))
    assert len(receiver.requests) == 1
    assert (await bench.row(later))["attempt"] == 0
    row = await bench.row(retry_id)
    assert (row["state"], row["attempt"], row["snoozes"]) == ("pending", 0, 1)
    alert = await connection.fetchrow(
        "select severity, detail from retryd.retry_queue_alerts where kind = 'lane_held'"
    )
    assert alert is not None
    assert alert["severity"] == "critical"
    assert "its target answers 410 Gone" in alert["detail"]

    await connection.fetchval("select retryd.resume_handler('hook')")
    async with delivering(bench.database, says("200 OK")):
        await bench.reached("done", retry_id, later)


async def test_a_worker_that_a_reload_has_replaced_pauses_nobody(
    bench: Bench, connection: Connection
) -> None:
    asked, resumed = asyncio.Event(), asyncio.Event()

    async def gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await resumed.wait()
        await says("410 Gone")(reader, writer)

    async with receiving(gone) as former, receiving(says("200 OK")) as following:
        plan = PLAN | {"retry_policies": {"default": {"timeout_seconds": 30}}}
        hook = {"kind": "http", "match": ["job.*"], "allow_cidrs": ["127.0.0.0/8"]}
        first, second = (
            load_configuration(None, {}, {"retry": plan, "handlers": {"hook": hook | {"url": url}}})
            for url in (former.url, following.url)
        )
        daemon = Daemon(first, lambda: second, bench.database.dsn, None)
        task = asyncio.create_task(daemon.run())
        retry_id = await bench.capture()
        await asked.wait()
        before = daemon.state()["worker"]
        daemon.reload()
        await until(lambda: daemon.state()["worker"] != before)
        resumed.set()  # what came too late is said by a target that nobody calls any more
        await bench.reached("done", retry_id)
        assert not await paused(connection)
        daemon.stop()
        await task
    assert (len(former.requests), len(following.requests)) == (1, 1)


async def looked_again(connection: Connection) -> bool:
    """Tell whether a worker has looked for work since the last capture, and again."""
    query = """
        select max(a.query_start) > max(e.captured_at) + interval '0.5 s'
        from pg_stat_activity a, retryd.failure_event e
        where a.application_name like 'retryd/claimer/%'
    """
    return bool(await connection.fetchval(query))


async def paused(connection: Connection) -> bool:
    query = "select paused_by = 'retryd/worker' from retryd.retry_handler where name = 'hook'"
    return bool(await connection.fetchval(query))


async def waiting(bench: Bench, retry_id: int) -> bool:
    return bool((await bench.row(retry_id))["state"] == "pending")
