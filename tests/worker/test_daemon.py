"""The daemon: reloads, stops and troubles, whatever the moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

import retryd
from retryd.compose import load_configuration
from retryd.compose.configuration import READ_AT_START
from retryd.compose.daemon import Daemon
from retryd.settings import Configuration
from retryd.settings.models import DatabaseSettings, HttpSettings, SpoolSettings
from retryd.telemetry.labels import ROOM
from retryd.worker.gauge_reader import EVERY_SECONDS
from tests.postgres import Connection, Database
from tests.waiting import until
from tests.worker.conftest import app_with

QUICK = {"retry": {"poll_interval_seconds": 0.1, "shutdown_timeout_seconds": 1}}
WAITING = """
    select count(*) from pg_stat_activity
    where wait_event_type = 'Lock' and datname = current_database()
        and query like '%publish_policies%'
"""


def configured() -> Configuration:
    """Return a configuration that is quick to notice things."""
    return load_configuration(None, {}, QUICK)


async def nothing(_: retryd.Retry) -> None:
    """Succeed."""


@asynccontextmanager
async def running(
    database: Database, load: Callable[[], Configuration] = configured
) -> AsyncIterator[Daemon]:
    """Run a daemon until it is ready; stops it at the end."""
    daemon = Daemon(configured(), load, database.dsn, app_with(nothing))
    task = asyncio.create_task(daemon.run())

    async def ready() -> bool:
        return (await daemon.ready()).ready

    try:
        await until(ready)
        yield daemon
    finally:
        daemon.stop()
        await task


@asynccontextmanager
async def policies_locked(database: Database) -> AsyncIterator[None]:
    """Let no worker publish its policies, as each does at its start."""
    connection = await database.connect()
    async with connection.transaction():
        await connection.execute("lock table retryd.retry_policy in access exclusive mode")
        yield


async def publishing(connection: Connection) -> bool:
    """Tell whether a worker waits for that."""
    return bool(await connection.fetchval(WAITING) == 1)


@pytest.mark.parametrize("error", [ValueError("odd"), KeyError("gone"), SystemError("broken")])
async def test_a_reload_that_meets_any_error_changes_nothing(
    database: Database, error: Exception
) -> None:
    def load() -> Configuration:
        raise error

    async with running(database, load) as daemon:
        before = daemon.state()["worker"]
        daemon.reload()
        await until(lambda: daemon.state()["alert"])
        assert daemon.state()["worker"] == before
        assert (await daemon.ready()).ready


async def test_a_reload_that_the_database_refuses_changes_nothing(
    database: Database, connection: Connection
) -> None:
    async with running(database) as daemon:
        before = daemon.state()["worker"]
        await connection.execute("""
            create function public.refuse() returns trigger language plpgsql as $$
            begin
                raise insufficient_privilege using message = 'permission denied';
            end
            $$;
            create trigger refuse before insert or update on retryd.retry_policy
                for each statement execute function public.refuse()
        """)
        daemon.reload()
        await until(lambda: "permission denied" in str(daemon.state()["alert"]))
        assert daemon.state()["worker"] == before


@pytest.mark.parametrize(
    ("block", "key", "value"),
    [
        ("spool", "directory", "/nowhere"),
        ("spool", "max_bytes", 4711),
        ("http", "port", 4711),
        ("http", "tokens", ["sesame"]),
        ("database", "url", "postgresql://:sesame@nowhere/x"),
        ("database", "embedded", True),
    ],
)
async def test_a_reload_that_changes_what_is_read_at_the_start_is_refused_and_says_so(
    database: Database, block: str, key: str, value: object
) -> None:
    changes: dict[str, object] = {block: {key: value}}
    async with running(
        database, lambda: load_configuration(None, {}, {**QUICK, **changes})
    ) as daemon:
        before = daemon.state()["worker"]
        daemon.reload()
        told = str(await until(lambda: daemon.state()["alert"]))
        assert f"{block}.{key} is read at the start: restart" in told
        assert "sesame" not in told
        assert daemon.state()["worker"] == before
        changes.clear()
        daemon.reload()
        await until(lambda: daemon.state()["worker"] != before)
        assert daemon.state()["alert"] is None


def test_each_key_of_http_is_read_at_the_start_and_each_of_the_others_is_known() -> None:
    assert set(READ_AT_START["http"]) == set(HttpSettings.model_fields)
    assert set(READ_AT_START["spool"]) == set(SpoolSettings.model_fields) - {"drain"}
    reloaded = {"listen_url", "pool_size", "pgbouncer"}
    assert set(READ_AT_START["database"]) == set(DatabaseSettings.model_fields) - reloaded


async def test_a_reload_may_drain_further_directories(database: Database, tmp_path: Path) -> None:
    following = {**QUICK, "spool": {"drain": [str(tmp_path)]}}
    async with running(database, lambda: load_configuration(None, {}, following)) as daemon:
        before = daemon.state()["worker"]
        daemon.reload()
        await until(lambda: daemon.state()["worker"] != before)


async def test_two_reloads_in_a_row_leave_one_worker(
    database: Database, connection: Connection
) -> None:
    async with running(database) as daemon:
        first = daemon.state()["worker"]
        daemon.reload()
        daemon.reload()
        await until(lambda: daemon.state()["worker"] != first)

        async def one() -> bool:
            return bool(await connection.fetchval("select count(*) from retryd.worker") == 1)

        await until(one)


async def test_a_stop_does_not_wait_for_a_start_that_hangs(
    database: Database, connection: Connection
) -> None:
    daemon = Daemon(configured(), configured, database.dsn, app_with(nothing))
    async with policies_locked(database):
        task = asyncio.create_task(daemon.run())
        await until(lambda: publishing(connection))
        daemon.stop()
        async with asyncio.timeout(5):
            await task


async def test_a_stop_does_not_wait_for_a_reload_that_hangs(
    database: Database, connection: Connection
) -> None:
    async with asyncio.timeout(20), running(database) as daemon, policies_locked(database):
        daemon.reload()
        await until(lambda: publishing(connection))
        daemon.stop()

        async def gone() -> bool:
            return bool(await connection.fetchval("select count(*) from retryd.worker") == 0)

        await until(gone)


async def test_it_is_not_ready_while_its_claims_fail(
    database: Database, connection: Connection
) -> None:
    look = "retryd.look_ahead(text, text[], float8)"

    async with running(database) as daemon:

        async def told() -> bool:
            readiness = await daemon.ready()
            return not readiness.ready and any("claimer" in why for why in readiness.reasons)

        await connection.execute(f"alter function {look} rename to gone")
        await until(told)
        back = look.replace("look_ahead", "gone")
        await connection.execute(f"alter function {back} rename to look_ahead")

        async def ready() -> bool:
            return (await daemon.ready()).ready

        await until(ready)


async def test_a_worker_whose_start_was_given_up_leaves_nothing(
    database: Database, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRYD_DATABASE_URL", database.dsn)

    async def enter() -> None:
        async with retryd.running(app_with(nothing)):
            pytest.fail("it must not be entered")

    async with policies_locked(database):
        entering = asyncio.create_task(enter())
        await until(lambda: publishing(connection))
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
    query = "select count(*) from pg_stat_activity where application_name like 'retryd/%'"
    own = f"{query} and datname = current_database()"

    async def gone() -> bool:
        return bool(await connection.fetchval(own) == 0)

    await until(gone)
    assert await connection.fetchval("select count(*) from retryd.worker") == 0


async def test_its_own_handlers_keep_their_labels_however_many_others_there_are(
    database: Database, connection: Connection
) -> None:
    """Give the names of others, smaller ones, all the room that there is."""
    await connection.execute(
        "select retryd.register_handler('a' || n, array['a' || n]) from generate_series(1, $1) n",
        ROOM,
    )
    async with running(database) as daemon:

        def text() -> str:
            return daemon.exposition("")[0].decode()

        await until(lambda: 'handler="other"' in text(), within=EVERY_SECONDS + 5)
        await retryd.capture(connection, "job.run.failed", not_before=datetime.now(UTC))
        await until(lambda: 'retryd_attempts_total{handler="job",outcome="success"} 1.0' in text())
