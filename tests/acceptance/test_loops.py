"""A target that posts back a failure for each call: a worker and a receiver feed each other."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

import retryd
from tests.acceptance.running import Running, running
from tests.postgres import Connection, Database
from tests.unit.handlers.receiver import Receiver, receiving, says
from tests.waiting import until

TYPE = "job.echo.failed"
MOST = 40
REFUSALS = 30
POLICY = {"initial_delay_seconds": 0.01, "max_delay_seconds": 0.05, "max_retries": 3}


@dataclass
class Echo:
    """Posts a failure back for each delivery, with the hops that it came with if it is honest."""

    status: str
    honest: bool
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    address: asyncio.Future[str] = field(default_factory=asyncio.Future)
    receiver: Receiver = field(default_factory=Receiver)
    answers: list[httpx.Response] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Capture a failure over HTTP, and then answer."""
        hops = self.receiver.requests[-1].headers["retryd-hops"] if self.honest else None
        headers = {"authorization": f"Bearer {self.token}"}
        async with httpx.AsyncClient(timeout=10) as client:
            said = await client.post(
                f"{await self.address}/api/v1/events",
                json={"event_type": TYPE, "payload": {"of": "the loop"}},
                headers=headers if hops is None else headers | {"retryd-hops": hops},
            )
        self.answers.append(said)
        await says(self.status)(reader, writer)

    def configuration(self, **http: Any) -> str:
        """Return the configuration of a worker that calls it."""
        hook = {
            "kind": "http",
            "match": ["job.*"],
            "url": self.receiver.url,
            "allow_cidrs": ["127.0.0.0/8"],
        }
        return json.dumps(
            {
                "retry": {"poll_interval_seconds": 0.2, "retry_policies": {"default": POLICY}},
                "handlers": {"hook": hook},
                "http": {"tokens": [self.token], **http},
            }
        )


@asynccontextmanager
async def looping(
    folder: Path, database: Database, echo: Echo, **http: Any
) -> AsyncIterator[Running]:
    """Run a worker and a receiver that feed each other."""
    (folder / "billing.py").write_text("import retryd\n\napp = retryd.App()\n")
    async with receiving(echo.answer) as echo.receiver:
        (folder / "config.json").write_text(echo.configuration(**http))
        async with running(folder, database.dsn, "--config", "config.json") as worker:
            [listening, *_] = await until(lambda: worker.said("http_listening"))
            echo.address.set_result(listening["address"])
            yield worker


async def test_a_failure_that_goes_round_with_its_hops_ends_among_the_dead_letters(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    echo = Echo("200 OK", honest=True)
    async with looping(tmp_path, database, echo):
        await retryd.capture(connection, TYPE)
        await until(lambda: connection.fetchval("select true from retryd.dead_letters"))
        await until(lambda: ended(connection))
    assert [it.headers["retryd-hops"] for it in echo.receiver.requests] == ["1", "2", "3", "4"]
    rows = await connection.fetch("select reason, attempt from retryd.dead_letters")
    assert [tuple(row) for row in rows] == [("loop", 0)]
    assert {said.status_code for said in echo.answers} == {201}
    outcomes = [said.json()["events"][0]["outcome"] for said in echo.answers]
    assert outcomes == ["new", "new", "new", "loop"]


async def ended(connection: Connection) -> bool:
    return not await connection.fetchval("select count(*) from retryd.retry_queue")


async def test_a_target_that_hides_its_hops_and_fails_finds_the_queue_bounded(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    echo = Echo("500 No", honest=False)
    deepest = 0

    async def refused_often() -> bool:
        nonlocal deepest
        live = await connection.fetchval("select count(*) from retryd.retry_queue")
        deepest = max(deepest, live)
        return len([said for said in echo.answers if said.status_code == 429]) >= REFUSALS

    async with looping(tmp_path, database, echo, max_queue_depth=MOST):
        await retryd.capture(connection, TYPE)
        await until(refused_often, within=40)
        async with httpx.AsyncClient(timeout=10) as client:
            assert (await client.get(f"{await echo.address}/readyz")).status_code == 200
    refusals = [said for said in echo.answers if said.status_code == 429]
    assert {said.status_code for said in echo.answers} == {201, 429}
    assert all(int(said.headers["retry-after"]) >= 1 for said in refusals)
    assert deepest <= MOST + 1  # the first did not come over HTTP
    reasons = await connection.fetch("select distinct reason from retryd.dead_letters")
    assert [row[0] for row in reasons] == ["exhausted"]
