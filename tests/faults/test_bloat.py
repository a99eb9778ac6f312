"""A transaction that stays open keeps vacuum from taking away what is done."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.claims import claim_of, lanes_of
from tests.faults.scene import Scene
from tests.postgres import Clock
from tests.waiting import until

RETRIES = 10_000
# What is dead and cannot be taken away is stepped over by a look, not by a claim: buffers of 8 KiB.
STEP = 0.05
ROOM = 80  # four for each row claimed: none of the full pages takes its new version
MANY = {"RETRYD_RETRY__WORKER_COUNT": "50", "RETRYD_RETRY__BATCH_SIZE": "50"}
LOOK = "select * from retryd.look_ahead('ann', array['work'])"
FOREIGN = "select * from retryd.acquire_retry_batch('ann', 20, '1 min', array['work'])"
RESCUE = "select * from retryd.rescue_retries('ann', 20, '1 min', '1 s')"
ALERTED = "select subject from retryd.retry_queue_alerts where kind = 'old_transaction'"
DEAD = "select n_dead_tup from pg_stat_user_tables where relid = 'retryd.retry_queue'::regclass"


async def test_while_a_snapshot_is_held_claims_pay_nothing_for_the_dead_and_looks_little(
    scene: Scene, clock: Clock
) -> None:
    await scene.value("select retryd.register_handler('work', array['work.*'])")
    await scene.capture(20)
    async with snapshot_held(scene):
        worker = await scene.fleet.started(**MANY)
        await scene.capture(RETRIES)
        await scene.drained()
        assert await worker.stop() == 0
        await scene.capture(20)
        await until(lambda: dead(scene), within=20)
        assert await dead(scene) >= RETRIES, "vacuum could not take them away"
        claim, foreign = await claim_price(scene), await price(scene, FOREIGN)
        assert await price(scene, LOOK) <= ROOM + STEP * RETRIES
        await clock.advance(16 * 60)
        assert await price(scene, RESCUE) <= ROOM
        assert await scene.value(ALERTED) == "report"
    await until(lambda: none_dead(scene), within=20)
    usual = await claim_price(scene)
    assert claim <= usual + ROOM
    assert foreign <= usual + ROOM + STEP * RETRIES
    assert await price(scene, LOOK) <= ROOM
    await scene.fleet.started()
    await scene.drained()
    assert (await scene.close()).completed == RETRIES + 40


@asynccontextmanager
async def snapshot_held(scene: Scene) -> AsyncIterator[None]:
    """Look at the database as it is now until the end, as a long report or a dump does."""
    reader = await scene.connect()
    await reader.execute("set application_name = 'report'")
    async with reader.transaction(isolation="repeatable_read"):
        await reader.fetchval("select count(*) from retryd.retry_queue")
        yield


async def claim_price(scene: Scene) -> int:
    """Return how many buffers a claim of 20 touches that begins where a look has found something.

    So does each claim that begins where the last one ended.
    """
    lanes = await lanes_of(await scene.connect(), ["work"])
    assert len(lanes) == 1
    return await price(scene, claim_of(lanes))


async def price(scene: Scene, call: str) -> int:
    """Return how many buffers a call touches once its plans are made; it is undone."""
    connection = await scene.connect()
    told = []
    for _ in range(2):
        transaction = connection.transaction()
        await transaction.start()
        told.append(await connection.fetchval(f"explain (analyze, buffers, format json) {call}"))
        await transaction.rollback()
    plan = json.loads(told[-1])[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


async def dead(scene: Scene) -> int:
    """Vacuum the queue; returns how many dead rows it had to leave."""
    connection = await scene.connect()
    await connection.execute("vacuum retryd.retry_queue")
    return int(await scene.value(DEAD))


async def none_dead(scene: Scene) -> bool:
    """Tell whether vacuum takes all that is dead away."""
    return not await dead(scene)
