"""The primary is lost, and the standby that takes its place never had the last commits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from tests.faults.fleet import Member
from tests.faults.scene import Scene
from tests.faults.standby import Standby
from tests.postgres import Database, open_directory
from tests.waiting import until

LEASE = {"RETRYD_RETRY__LEASE_SECONDS": "9"}


@pytest.fixture
async def standby(scene: Scene) -> AsyncIterator[Standby]:
    """A standby of the server, which follows it."""
    with open_directory() as folder:
        async with Standby.of(scene.server, folder / "postgres") as standby:
            yield standby


@pytest.fixture
async def afterwards(scene: Scene, standby: Standby) -> AsyncIterator[Scene]:
    """The same scene, as the standby knows it."""
    database = Database(scene.database.dsn.replace(f":{scene.server.port}/", f":{standby.port}/"))
    yield replace(scene, server=standby, database=database, ids=[])
    database.disconnect()


def of_either(scene: Scene, standby: Standby) -> str:
    """Return the address for a worker that names both servers, the standby first."""
    parts = urlsplit(scene.worker_dsn)
    user, _, primary = parts.netloc.rpartition("@")
    netloc = f"{user}@127.0.0.1:{standby.port},{primary}"
    return parts._replace(netloc=netloc, query="sslmode=disable").geturl()


async def test_a_failover_that_forgets_the_last_commits_loses_nothing_that_the_standby_had(
    scene: Scene, standby: Standby, afterwards: Scene
) -> None:
    member = await scene.fleet.started(dsn=of_either(scene, standby), **LEASE)
    await until(scene.asleep)
    kept = await scene.capture(do="hang", until="go-on-kept")
    await until(lambda: begun(scene, kept))
    member.freeze()
    settled = await scene.capture()
    gentle = await scene.capture(do="hang", until="go-on-gentle")
    deaf = await scene.capture(do="deaf", until="go-on-deaf")
    afterwards.ids += scene.ids
    await standby.caught_up(await scene.server.position())
    await standby.cut_off()
    member.thaw()
    forgotten = await scene.capture(do="hang", until="never")
    await until(lambda: begun(scene, gentle, deaf, forgotten))
    await until(lambda: scene.count("done"))
    old = {effect.id: effect.token for effect in scene.fleet.effects("start")}
    await scene.server.crash()
    await until(lambda: member.said("database_away"))

    assert old.keys() == {kept, settled, gentle, deaf, forgotten}
    known = {kept: old[kept], settled: None, gentle: None, deaf: None}
    assert await tokens(afterwards, "retry_queue", "id") == known, "the last commits are lost"
    await standby.promote()
    scene.fleet.go_on("go-on-kept")
    await until(lambda: begun(scene, settled, gentle, deaf, times=2))
    scene.fleet.go_on("go-on-gentle")
    scene.fleet.go_on("go-on-deaf")
    await afterwards.drained()

    new = {effect.id: effect.token for effect in scene.fleet.effects("start")}
    assert new == {**new, kept: old[kept], forgotten: old[forgotten]}, "they began once"
    under = await tokens(afterwards, "retry_attempt", "retry")
    assert under == {id: new[id] for id in afterwards.ids}, "what was forgotten changed nothing"
    done = [effect.token for effect in scene.fleet.effects()]
    assert set(done) == {*under.values(), old[settled], old[deaf]}, "the others were cancelled"
    await until(lambda: stale(member, of=(gentle, deaf, forgotten)))
    assert len(member.said("worker_started")) == 1
    # The effects of the settlement that was lost, and of the attempt that could not be cancelled.
    ledger = await afterwards.close(unknown=2, stale=3)
    assert (ledger.completed, ledger.lost, ledger.duplicates) == (4, 0, 2)


async def begun(scene: Scene, *ids: int, times: int = 1) -> bool:
    """Tell whether each of these has begun so often."""
    begun = [effect.id for effect in scene.fleet.effects("start")]
    return all(begun.count(id) == times for id in ids)


async def tokens(scene: Scene, table: str, id: str) -> dict[int, int | None]:
    """Return the claim token that each retry has in a table."""
    connection = await scene.connect()
    rows = await connection.fetch(f"select {id}, claim_token from retryd.{table}")
    assert len({row[0] for row in rows}) == len(rows)
    return dict(map(tuple, rows))


async def stale(member: Member, *, of: tuple[int, ...]) -> bool:
    """Tell whether one settlement of each of these came too late."""
    return await member.metric("retryd_stale_settlements_total") == len(of)
