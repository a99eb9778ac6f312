"""Connections that look open and answer nothing, as after a failover behind a balancer."""

from __future__ import annotations

import asyncio

import pytest

from retryd.domain.errors import DatabaseUnavailable
from retryd.store.listener import open_listener
from retryd.worker import doorbell
from retryd.worker.doorbell import Doorbell
from tests.faults.proxy import Proxy
from tests.faults.scene import Scene
from tests.postgres import Connection, Database
from tests.waiting import until


async def test_backends_that_were_stopped_are_left_for_new_ones(scene: Scene) -> None:
    await scene.capture(20, do="hang")
    await scene.fleet.started()
    await until(lambda: len(scene.fleet.effects("start")) == 4)
    frozen = await scene.server.freeze_idle("retryd/%")
    assert frozen >= 2
    scene.fleet.go_on()
    await scene.drained(within=40)
    assert scene.server.thaw_all() == frozen, "they were stopped all the time"
    assert (await scene.close()).completed == 20


async def test_connections_that_fell_silent_are_left_for_new_ones(
    scene: Scene, proxy: Proxy
) -> None:
    await scene.capture(20, do="hang")
    await scene.fleet.started(dsn=proxy.dsn(scene.worker_dsn))
    await until(lambda: len(scene.fleet.effects("start")) == 4)
    assert proxy.drop() >= 2
    scene.fleet.go_on()
    await scene.drained(within=40)
    assert proxy.swallowed > 0
    proxy.resume()  # what was said into the void arrives now, long after its time
    assert (await scene.close()).completed == 20


async def test_a_network_that_swallows_everything_is_waited_out(scene: Scene, proxy: Proxy) -> None:
    await scene.capture(20, do="nap", seconds=0.05)
    member = await scene.fleet.started(dsn=proxy.dsn(scene.worker_dsn))
    await until(lambda: len(scene.fleet.effects()) >= 4)
    proxy.drop(new_too=True)
    before = len(member.said("database_away"))
    await until(lambda: len(member.said("database_away")) > before, within=30)
    assert proxy.swallowed > 0
    assert member.running
    proxy.resume()
    await scene.drained(within=40)
    assert (await scene.close()).completed == 20


async def test_a_doorbell_that_fell_silent_hangs_itself_up_anew_and_rings_for_what_it_missed(
    database: Database, connection: Connection, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorbell, "CHECK_SECONDS", 0.1)
    monkeypatch.setattr("retryd.store.listener.PING_TIMEOUT_SECONDS", 0.3)
    rings = 0

    def rung() -> None:
        nonlocal rings
        rings += 1

    bell = Doorbell(proxy.dsn(database.dsn), "retryd/doorbell/test", rung)
    ringing = asyncio.create_task(bell.run())
    await until(lambda: rings == 1)  # it rings once when it listens
    await connection.execute("select pg_notify('retryd', '')")
    await until(lambda: rings == 2)
    assert proxy.drop(only_listening=True) == 1
    await connection.execute("select pg_notify('retryd', '')")
    await until(lambda: rings == 3)
    assert proxy.drop(only_listening=True) == 2, "it listens on a new connection"
    proxy.resume()
    await connection.execute("select pg_notify('retryd', '')")
    await until(lambda: rings == 4)
    bell.stop()
    await ringing


async def test_a_listener_that_fell_silent_is_found_out(
    database: Database, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retryd.store.listener.PING_TIMEOUT_SECONDS", 0.3)
    async with open_listener(proxy.dsn(database.dsn), "retryd/test", lambda: None) as listener:
        await listener.check()
        assert proxy.drop(only_listening=True) == 1
        with pytest.raises(DatabaseUnavailable):
            await listener.check()
        assert proxy.swallowed > 0


async def test_retries_are_found_though_the_doorbell_fell_silent(
    scene: Scene, proxy: Proxy
) -> None:
    member = await scene.fleet.started(dsn=proxy.dsn(scene.worker_dsn))
    await until(lambda: proxy.drop(only_listening=True) == 1)
    await scene.capture(10)
    await scene.drained()
    assert member.running
    proxy.resume()  # or its server would never hear that it was left
    assert (await scene.close()).completed == 10
