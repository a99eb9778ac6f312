"""Clocks that are wrong, and clocks that step: the time of PostgreSQL decides, and survives it."""

from __future__ import annotations

import glob
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import retryd
from retryd.embedded import account
from retryd.store.schema import migrate
from tests.faults.fleet import Fleet, Member
from tests.faults.programs import lacking
from tests.faults.scene import Scene
from tests.faults.server import Server
from tests.postgres import Clock, Cluster, Connection, open_directory
from tests.waiting import until

HOUR = 3600.0
LIBRARIES = "/usr/lib/*/faketime/libfaketimeMT.so.1"
LATEST_LEASE = """
    select max(extract(epoch from lease_expires_at - retryd.now()))::float8
    from retryd.retry_queue where state = 'processing'
"""
ATTEMPTS = """
    select retry, started_at, next_attempt_at from retryd.retry_attempt order by retry, claim_token
"""


def under_faketime(offset: str) -> dict[str, str]:
    """Return the variables that move the wall clock of a process, and not its monotonic one."""
    found = glob.glob(LIBRARIES)  # noqa: PTH207  (an absolute pattern)
    if not found:
        lacking("libfaketime is not installed: apt-get install faketime")
    return {
        "LD_PRELOAD": found[0],
        "FAKETIME": offset,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def wrong_by(member: Member) -> float:
    """Return by how many hours the clock of a worker is wrong, as its log has it."""
    at = datetime.fromisoformat(member.said("worker_started")[0]["at"])
    return round((at - datetime.now(UTC)) / timedelta(hours=1), 1)


async def test_workers_whose_clocks_are_wrong_by_an_hour_keep_the_schedule_and_their_leases(
    scene: Scene,
) -> None:
    ahead = await scene.fleet.started(**under_faketime("+1h"))
    behind = await scene.fleet.started(**under_faketime("-1h"))
    assert (wrong_by(ahead), wrong_by(behind)) == (1.0, -1.0)
    await scene.capture(20, do="fail", failures=1)
    await scene.capture(8, do="nap", seconds=3)  # longer than the lease of both
    await scene.drained(within=30)
    connection = await scene.connect()
    due: dict[int, datetime] = {}
    for row in await connection.fetch(ATTEMPTS):
        if row["retry"] in due:
            assert row["started_at"] >= due[row["retry"]]
        if row["next_attempt_at"] is not None:
            due[row["retry"]] = row["next_attempt_at"]
    assert len(due) == 20
    assert {effect.pid for effect in scene.fleet.effects()} == {ahead.pid, behind.pid}
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost, ledger.duplicates) == (28, 0, 0)


async def test_a_step_of_an_hour_ahead_costs_each_running_attempt_at_most_its_lease(
    scene: Scene, clock: Clock
) -> None:
    await scene.capture(4, do="hang")
    worker = await scene.fleet.started()
    await until(lambda: len(scene.fleet.effects("start")) == 4)
    await clock.advance(HOUR)
    await until(lambda: worker.said("retries_rescued") or worker.said("leases_lost"))
    scene.fleet.go_on()
    await scene.capture(4)
    await scene.drained()
    ledger = await scene.close()
    assert ledger.completed == 8
    assert ledger.lost <= 4


async def test_dead_workers_are_rescued_from_once_when_the_clock_steps_an_hour_ahead(
    scene: Scene, clock: Clock
) -> None:
    await scene.capture(4, do="hang")
    first = await scene.fleet.started(RETRYD_RETRY__LEASE_SECONDS="1800")
    await until(lambda: len(scene.fleet.effects("start")) == 4)
    await first.kill()
    scene.fleet.go_on()
    await scene.fleet.started()
    await clock.advance(HOUR)
    await scene.drained()
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost, ledger.effects) == (4, 4, 4)


async def test_a_step_of_an_hour_back_costs_running_attempts_nothing(
    scene: Scene, clock: Clock
) -> None:
    await scene.capture(4, do="hang")
    await scene.fleet.started()
    await until(lambda: len(scene.fleet.effects("start")) == 4)
    await clock.advance(-HOUR)
    assert await scene.value(LATEST_LEASE) > HOUR - 60
    await until(lambda: leases_end_within(scene, 10))
    scene.fleet.go_on()
    await scene.capture(4)
    await scene.drained()
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost, ledger.effects) == (8, 0, 8)


async def test_dead_workers_are_rescued_from_within_two_leases_when_the_clock_steps_an_hour_back(
    scene: Scene, clock: Clock
) -> None:
    await scene.capture(4, do="hang")
    first = await scene.fleet.started()
    await until(lambda: len(scene.fleet.effects("start")) == 4)
    await first.kill()
    await clock.advance(-HOUR)
    assert await scene.value(LATEST_LEASE) > HOUR - 60
    second = await scene.fleet.started()
    scene.fleet.go_on()
    await scene.drained(within=20)
    assert second.said("leases_clamped", retries=4)
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost, ledger.effects) == (4, 4, 4)


async def test_the_steps_of_a_real_clock_are_survived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_directory() as folder:
        offset = folder / "offset"
        offset.write_text("+0h")
        offset.chmod(0o644)  # the server has a user of its own
        faked = {
            **under_faketime("+0h"),
            "FAKETIME_TIMESTAMP_FILE": str(offset),
            "FAKETIME_NO_CACHE": "1",
        }
        del faked["FAKETIME"]  # or the file would not be read
        server = Server(folder / "postgres")
        with monkeypatch.context() as environment:
            for name, value in faked.items():
                environment.setitem(account.ENVIRONMENT, name, value)
            await server.start()
        try:
            await steps(server, offset, tmp_path)
        finally:
            await server.stop()


async def steps(server: Server, offset: Path, folder: Path) -> None:
    """Let a worker die before the clock of its server goes back, and another live on ahead."""
    cluster = Cluster(server.dsn)
    async with cluster.database() as database, Fleet.of(database.dsn, folder) as fleet:
        await migrate(database.dsn)
        await database.open_books()
        scene = Scene(server, database, fleet)
        await scene.capture(4, do="hang")
        first = await fleet.started()
        await until(lambda: len(fleet.effects("start")) == 4)
        await first.kill()
        offset.write_text("-1h")
        await until(lambda: off_by(scene, -HOUR))
        second = await fleet.started()
        await until(lambda: len(fleet.effects("start")) == 8, within=20)
        assert second.said("leases_clamped")
        offset.write_text("+1h")
        await until(lambda: off_by(scene, HOUR))
        fleet.go_on()
        await scene.drained()
        assert (await scene.close()).completed == 4


async def off_by(scene: Scene, seconds: float) -> bool:
    """Tell whether the clock of PostgreSQL is wrong by so much."""
    wrong = await scene.value(
        "select extract(epoch from clock_timestamp() - $1)", datetime.now(UTC)
    )
    return abs(float(wrong) - seconds) < 60


async def leases_end_within(scene: Scene, seconds: float) -> bool:
    """Tell whether no lease ends later than so many seconds from now."""
    return bool(await scene.value(LATEST_LEASE) <= seconds)


@pytest.mark.parametrize(
    "before", ["2027-03-14 06:30:00+00", "2027-11-07 05:30:00+00"], ids=["spring", "autumn"]
)
async def test_leases_and_delays_are_as_long_on_the_night_that_the_clocks_change(
    before: str, connection: Connection, clock: Clock
) -> None:
    await connection.execute("set time zone 'America/New_York'")
    ahead = "select extract(epoch from $1::text::timestamptz - retryd.now())::float8"
    await clock.advance(await connection.fetchval(ahead, before))
    await connection.execute("select retryd.register_handler('work', array['work.*'])")
    await retryd.capture(connection, "work.run.failed", not_before=datetime.fromisoformat(before))
    claim = await connection.fetchrow(
        "select *, extract(epoch from lease_expires_at - retryd.now())::float8 as seconds"
        " from retryd.acquire_retry_batch('w', 1, '24 h')"
    )
    assert claim is not None
    assert claim["seconds"] == pytest.approx(24 * HOUR, abs=5)
    verb = "select retryd.reschedule_retry($1, $2, '3 h')"
    assert await connection.fetchval(verb, claim["id"], claim["claim_token"])
    left = (
        "select extract(epoch from next_attempt_at - retryd.now())::float8 from retryd.retry_queue"
    )
    assert await connection.fetchval(left) == pytest.approx(3 * HOUR, abs=5)
