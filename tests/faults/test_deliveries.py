"""PostgreSQL goes away while a target answers: what it has taken is delivered again, or settled."""

from __future__ import annotations

import asyncio

import retryd
from tests.faults.scene import Scene
from tests.unit.handlers.receiver import receiving, says


async def test_an_answer_that_comes_while_postgresql_is_away_is_settled_when_it_is_back(
    scene: Scene,
) -> None:
    away = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not away.is_set():
            await scene.server.crash()
            away.set()
        await says("200 OK")(reader, writer)

    retry_id = await scene.capture()
    async with receiving(answer) as receiver:
        hook = {
            "kind": "http",
            "match": ["work.*"],
            "url": receiver.url,
            "allow_cidrs": ["127.0.0.0/8"],
        }
        config = {
            "database": {"url": scene.worker_dsn},
            "retry": {"poll_interval_seconds": 0.1},
            "handlers": {"hook": hook},
        }
        async with retryd.running(retryd.App(), config):
            await away.wait()
            await scene.server.start()
            await scene.drained()
    lost = await scene.value("select lost_attempts from retryd.retries where id = $1", retry_id)
    assert 1 <= len(receiver.requests) <= 1 + lost
    assert {it.headers["webhook-id"] for it in receiver.requests} == {f"retry_{retry_id}_1"}
    assert await scene.count("done") == 1
