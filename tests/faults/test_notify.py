"""NOTIFY is a hint: nothing waits for it, and nothing fails with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from tests.faults.programs import lacking
from tests.faults.scene import Scene
from tests.faults.server import LISTENING
from tests.waiting import until

FULL = 0.98  # a notification lies in one page, and the last one is left empty


async def test_without_notifications_polling_finds_everything(scene: Scene) -> None:
    member = await scene.fleet.started(RETRYD_RETRY__LISTEN_NOTIFY="false")
    assert not await scene.server.backends("retryd/%", LISTENING)
    for _ in range(3):
        await scene.capture(5)
        await scene.drained()
    assert member.running
    assert (await scene.close()).completed == 15


async def test_captures_are_accepted_while_the_queue_of_notifications_is_full(
    scene: Scene,
) -> None:
    await scene.fleet.started(RETRYD_RETRY__POLL_INTERVAL_SECONDS="2")
    await until(scene.asleep)
    async with full_queue(scene):
        await scene.capture(5)
        await scene.drained()
    assert (await scene.close()).completed == 5


async def test_settlements_are_written_while_the_queue_of_notifications_is_full(
    scene: Scene,
) -> None:
    await scene.capture(4, do="fail", failures=1)
    async with full_queue(scene):
        await scene.fleet.started()
        await scene.drained()
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost) == (4, 0)


@asynccontextmanager
async def full_queue(scene: Scene) -> AsyncIterator[None]:
    """Let a session that listens lag behind, somewhere in the server, until no NOTIFY fits in."""
    if not scene.server.fills_up:
        lacking("the queue of notifications can be filled from PostgreSQL 17 on")
    listener, flood = await scene.connect(), await scene.connect()
    one_page = "select pg_notify('flood', repeat('x', 7999))"
    await listener.execute("listen flood")
    async with listener.transaction():
        await listener.fetchval("select 1")  # it takes nothing from the queue until its end
        while await scene.value("select pg_notification_queue_usage()") < FULL:
            await flood.execute(one_page)
        with pytest.raises(asyncpg.ProgramLimitExceededError):
            await flood.execute(one_page)
        yield
        with pytest.raises(asyncpg.ProgramLimitExceededError):
            await flood.execute(one_page)
