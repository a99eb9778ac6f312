"""Workers behind pgbouncer in transaction mode, told about it or not."""

from __future__ import annotations

from pathlib import Path

import pytest

import retryd
from tests.acceptance.commands import Shell
from tests.faults.bouncer import SERVER_SESSIONS, pgbouncer
from tests.faults.scene import Scene
from tests.faults.server import LISTENING
from tests.waiting import until


@pytest.mark.parametrize("told", ["auto", "true"])
async def test_two_workers_drain_the_queue_through_fewer_sessions_than_they_have(
    scene: Scene, told: str
) -> None:
    await scene.capture(100, do="nap", seconds=0.02)
    await scene.capture(10, do="fail", failures=1)
    most = 0

    async def drained() -> bool:
        nonlocal most
        most = max(most, len(await scene.server.backends("retryd/%")))
        return not await scene.count("live")

    async with pgbouncer(scene.database.dsn) as dsn:
        settings = {"RETRYD_DATABASE__PGBOUNCER": told, "RETRYD_RETRY__LEASE_SECONDS": "60"}
        members = [await scene.fleet.started(dsn=dsn, **settings) for _ in range(2)]
        await until(drained, within=30)
        assert not await scene.server.backends("retryd/%", LISTENING)
        for member in members:
            assert not member.said("step_failed")
            assert not member.said("database_away")
        ledger = await scene.close()
    assert 1 <= most <= SERVER_SESSIONS
    assert (ledger.completed, ledger.lost, ledger.duplicates) == (110, 0, 0)


async def test_a_worker_behind_pgbouncer_is_rung_by_the_server_itself_when_told_where_it_is(
    scene: Scene,
) -> None:
    async with pgbouncer(scene.database.dsn) as dsn:
        await scene.fleet.started(
            dsn=dsn,
            RETRYD_DATABASE__LISTEN_URL=scene.worker_dsn,
            RETRYD_RETRY__POLL_INTERVAL_SECONDS="60",
        )
        await until(scene.asleep)
        await scene.capture(5)
        await scene.drained(within=10)
        assert (await scene.close()).completed == 5


async def test_people_reach_the_database_through_pgbouncer_without_telling_anybody(
    scene: Scene, tmp_path: Path
) -> None:
    async with pgbouncer(scene.database.dsn) as dsn:
        retryd = Shell(tmp_path, {"RETRYD_DATABASE_URL": dsn})
        captured = [await retryd("capture", "work.run.failed", "--json") for _ in range(2)]
        ids = [id for each in captured for id in each.document["ids"]]
        listed = (await retryd("list", "--json")).document
        assert sorted(row["id"] for row in listed) == ids
        assert (await retryd("show", str(ids[0]), "--json")).document["state"] == "pending"
        for command in (f"explain {ids[0]}", "stats", "top", "dlq list", "handler list"):
            assert (await retryd(*command.split(), "--json")).document is not None


@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_statements_take_effect_once_through_fewer_sessions_than_they_have(
    scene: Scene, where: str
) -> None:
    owner = await scene.connect()
    await owner.execute("""
        create schema shop;
        create table shop.effect (number numeric);
        create table shop.retryd_inbox (
            delivery text primary key, at timestamptz not null default now());
        grant usage on schema shop to public;
        grant all on all tables in schema shop to public;
    """)
    for number in range(60):
        await scene.capture(number=number)
    async with pgbouncer(scene.database.dsn) as dsn:
        statement = "insert into shop.effect select :number from pg_sleep(0.01)"
        handler = {"kind": "sql", "match": ["work.*"], "statement": statement, "connections": 8}
        if where == "elsewhere":
            handler |= {"database": dsn, "inbox": "shop.retryd_inbox"}
        # That a pooler stands there is found out, for retryd's own database and for another.
        config = {
            "database": {"url": dsn},
            "retry": {"poll_interval_seconds": 0.1, "worker_count": 8},
            "handlers": {"restock": handler},
        }
        async with retryd.running(retryd.App(), config):
            await scene.drained(within=30)
            assert len(await scene.server.backends("retryd/%")) <= SERVER_SESSIONS
    numbers = await owner.fetch("select number::int from shop.effect order by 1")
    assert [row[0] for row in numbers] == list(range(60))
    attempts = await owner.fetch("select distinct outcome from retryd.retry_attempt")
    assert [row[0] for row in attempts] == ["success"]
