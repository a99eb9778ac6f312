"""A worker inside somebody's own process: `retryd.running`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

import retryd
from tests.postgres import Connection, Database
from tests.waiting import until
from tests.worker.conftest import app_with

QUICK = {"retry": {"poll_interval_seconds": 0.1, "shutdown_timeout_seconds": 5}}


async def capture(connection: Connection) -> int:
    """Capture a failure that is due at once."""
    now = await connection.fetchval("select retryd.now()")
    [retry_id] = await retryd.capture(connection, "job.run.failed", not_before=now)
    return retry_id


async def place(connection: Connection, retry_id: int) -> str | None:
    """Return where a retry is."""
    query = "select place from retryd.place where id = $1"
    found: str | None = await connection.fetchval(query, retry_id)
    return found


@pytest.fixture
def named(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment name the database."""
    monkeypatch.setenv("RETRYD_DATABASE_URL", database.dsn)


@pytest.mark.usefixtures("named")
async def test_it_works_while_the_block_lasts_and_drains_at_its_end(connection: Connection) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def job(_: retryd.Retry) -> None:
        entered.set()
        await go_on.wait()

    retry_id = await capture(connection)
    async with retryd.running(app_with(job), QUICK):
        await entered.wait()
        go_on.set()
    assert await place(connection, retry_id) == "done"
    query = (
        "select count(*) from pg_stat_activity"
        " where datname = current_database() and application_name like 'retryd/%'"
    )

    async def nobody() -> bool:
        return bool(await connection.fetchval(query) == 0)

    await until(nobody)
    assert await connection.fetchval("select count(*) from retryd.worker") == 0


@pytest.mark.usefixtures("named")
async def test_it_takes_the_path_of_a_configuration(connection: Connection, tmp_path: Path) -> None:
    async def job(_: retryd.Retry) -> None:
        pass

    path = tmp_path / "config.json"
    path.write_text(json.dumps(QUICK))
    async with retryd.running(app_with(job), path):
        retry_id = await capture(connection)

        async def done() -> bool:
            return await place(connection, retry_id) == "done"

        await until(done)


async def test_the_app_may_name_the_database(database: Database, connection: Connection) -> None:
    done = asyncio.Event()
    app = retryd.App(database.dsn)

    @app.handler("job.*")
    async def job(_: retryd.Retry) -> None:
        done.set()

    async with retryd.running(app, QUICK):
        await capture(connection)
        await done.wait()


@pytest.mark.usefixtures("named")
async def test_what_the_block_raises_comes_out_after_the_drain(connection: Connection) -> None:
    async def job(_: retryd.Retry) -> None:
        pass

    with pytest.raises(ValueError, match="mine"):
        async with retryd.running(app_with(job), QUICK):
            raise ValueError("mine")
    assert await connection.fetchval("select count(*) from retryd.worker") == 0


@pytest.mark.usefixtures("named")
async def test_a_configuration_that_cannot_be_used_is_refused_on_entry() -> None:
    with pytest.raises(retryd.ConfigurationError, match="batch_size"):
        async with retryd.running(retryd.App(), {"retry": {"batch_size": 0}}):
            pytest.fail("it must not be entered")


async def test_a_database_out_of_reach_is_told_on_entry() -> None:
    app = retryd.App("postgresql://nobody@127.0.0.1:1/nowhere")
    with pytest.raises(retryd.DatabaseUnavailable):
        async with retryd.running(app):
            pytest.fail("it must not be entered")


async def test_a_database_without_the_schema_is_told_on_entry(plain_database: Database) -> None:
    with pytest.raises(retryd.SchemaOutdated, match="retryd migrate"):
        async with retryd.running(retryd.App(plain_database.dsn)):
            pytest.fail("it must not be entered")
