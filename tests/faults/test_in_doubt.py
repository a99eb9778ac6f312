"""Statements that were committed, and whose answer never came."""

from __future__ import annotations

import asyncio
import signal

import asyncpg
import pytest

import retryd
from tests.faults.fleet import Member
from tests.faults.proxy import Proxy
from tests.faults.scene import Scene
from tests.waiting import until

# No lease runs out within a test: what is done, is done by who knows what it holds.
LONG = {"RETRYD_RETRY__LEASE_SECONDS": "120"}
# It sleeps until it is rung, so that nothing else that it says is held before its claim.
RUNG = {"RETRYD_RETRY__POLL_INTERVAL_SECONDS": "60"}
BROKEN = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
CLAIM, SETTLEMENT = "claim_retries", "settle_retries"


async def test_claims_whose_answer_was_lost_are_adopted(scene: Scene, proxy: Proxy) -> None:
    proxy.lose_answers(CLAIM)
    await scene.capture(4)
    await scene.fleet.started(dsn=proxy.dsn(scene.worker_dsn), **LONG)
    await scene.drained()
    assert proxy.answers_lost == 1
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost, ledger.duplicates) == (4, 0, 0)


async def test_claims_whose_backend_was_terminated_behind_their_commit_are_adopted(
    scene: Scene,
) -> None:
    await scene.fleet.started(**LONG, **RUNG)
    await until(scene.asleep)
    async with scene.server.commits_held():
        await scene.capture(4)
        assert await scene.server.end_in_doubt(CLAIM) >= 1
        assert await scene.claimed() == 4
    await scene.drained()
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost, ledger.duplicates) == (4, 0, 0)


async def test_claims_that_commit_after_their_worker_has_looked_for_them_are_adopted(
    scene: Scene, proxy: Proxy
) -> None:
    member = await scene.fleet.started(dsn=proxy.dsn(scene.worker_dsn), **LONG, **RUNG)
    await until(scene.asleep)
    async with scene.server.commits_held():
        await scene.capture(4)
        [claiming] = await until(lambda: scene.server.held(CLAIM))
        before = set(await scene.server.backends("retryd/%"))
        assert proxy.reset() >= 1
        await until(lambda: idle_anew(scene, before))
        assert await scene.server.held(CLAIM) == [claiming]
        assert (await scene.claimed(), member.said("claims_adopted")) == (0, [])
    await scene.drained()
    assert sum(line["retries"] for line in member.said("claims_adopted")) == 4
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost, ledger.duplicates) == (4, 0, 0)


async def idle_anew(scene: Scene, before: set[int]) -> bool:
    """Tell whether a worker on a new connection looked for its claim, and then claimed nothing."""
    asleep = "state = 'idle' and query like '%look_ahead%'"
    return bool(set(await scene.server.backends("retryd/claimer/%", asleep)) - before)


async def test_a_claim_in_flight_at_the_end_of_a_worker_leaves_nothing_behind(scene: Scene) -> None:
    member = await scene.fleet.started(**LONG, **RUNG)
    await until(scene.asleep)
    async with scene.server.commits_held():
        await scene.capture(4)
        await until(lambda: scene.server.held(CLAIM))
        member.signal(signal.SIGTERM)
        await until(lambda: member.said("stopping"))
    assert await member.ended() == 0
    assert await scene.claimed() == 0, "all were run or given back"
    await scene.fleet.started()
    await scene.drained()
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost, ledger.duplicates) == (4, 0, 0)


async def test_a_claim_that_outlasts_the_drain_of_its_worker_is_given_back(scene: Scene) -> None:
    hurry = {"RETRYD_RETRY__SHUTDOWN_TIMEOUT_SECONDS": "0.2"}
    member = await scene.fleet.started(**LONG, **RUNG, **hurry)
    await until(scene.asleep)
    async with scene.server.commits_held():
        await scene.capture(4)
        await until(lambda: scene.server.held(CLAIM))
        member.signal(signal.SIGTERM)
        await until(lambda: nobody_waits(scene), within=20)  # the claim was cancelled
    assert await member.ended() == 0
    assert await scene.given_back() == 4
    await scene.fleet.started()
    await scene.drained()
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost, ledger.duplicates) == (4, 0, 0)


async def nobody_waits(scene: Scene) -> bool:
    """Tell whether no claim waits for its commit any more."""
    return not await scene.server.held(CLAIM)


async def test_settlements_whose_answer_was_lost_count_once_and_are_not_stale(
    scene: Scene, proxy: Proxy
) -> None:
    proxy.lose_answers(SETTLEMENT, times=2)
    await scene.capture(12)
    member = await scene.fleet.started(dsn=proxy.dsn(scene.worker_dsn), **LONG)
    await scene.drained()
    await until(lambda: proxy.answers_lost == 2)
    await until(lambda: counted(member, 12))
    assert await member.metric("retryd_stale_settlements_total") == 0
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost, ledger.duplicates) == (12, 0, 0)


async def counted(member: Member, attempts: int) -> bool:
    """Tell whether the worker has counted so many attempts."""
    return await member.metric("retryd_attempts_total") == attempts


async def test_settlements_whose_backend_was_terminated_behind_their_commit_count_once(
    scene: Scene,
) -> None:
    await scene.capture(4, do="hang")
    member = await scene.fleet.started(**LONG)
    await until(lambda: len(scene.fleet.effects("start")) == 4)
    async with scene.server.commits_held():
        scene.fleet.go_on()
        assert await scene.server.end_in_doubt(SETTLEMENT) >= 1
        assert await scene.count("done") >= 1
    await scene.drained()
    await until(lambda: counted(member, 4))
    assert await member.metric("retryd_stale_settlements_total") == 0
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost, ledger.duplicates) == (4, 0, 0)


async def test_failures_whose_settlement_was_in_doubt_use_up_one_attempt_each(
    scene: Scene, proxy: Proxy
) -> None:
    proxy.lose_answers(SETTLEMENT)
    await scene.capture(3, do="fail", failures=1)
    await scene.fleet.started(dsn=proxy.dsn(scene.worker_dsn), **LONG)
    await scene.drained()
    assert proxy.answers_lost == 1
    assert await scene.value("select array_agg(attempt) from retryd.retry_archive") == [2, 2, 2]
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost, ledger.duplicates) == (3, 0, 0)


async def test_a_capture_whose_answer_was_lost_is_found_by_its_event_id(
    scene: Scene, proxy: Proxy
) -> None:
    proxy.lose_answers("capture_failure")
    through = await asyncpg.connect(proxy.dsn(scene.database.dsn))
    with pytest.raises(BROKEN):
        await retryd.capture(through, "work.run.failed", event_id="order-1")
    through.terminate()
    assert proxy.answers_lost == 1
    ids = await retryd.capture(await scene.connect(), "work.run.failed", event_id="order-1")
    assert await scene.value("select array_agg(id) from retryd.place") == ids
    scene.ids += ids
    await scene.fleet.started()
    await scene.drained()
    assert (await scene.close()).completed == 1


async def test_a_capture_whose_backend_was_terminated_behind_its_commit_is_found_again(
    scene: Scene,
) -> None:
    producer = await scene.connect()
    await producer.execute("set application_name = 'shop'")
    async with scene.server.commits_held():
        capturing = asyncio.create_task(
            retryd.capture(producer, "work.run.failed", event_id="order-1")
        )
        assert await scene.server.end_in_doubt("capture_failure", "shop") == 1
        with pytest.raises(BROKEN):
            await capturing
    ids = await retryd.capture(await scene.connect(), "work.run.failed", event_id="order-1")
    assert await scene.value("select array_agg(id) from retryd.place") == ids
