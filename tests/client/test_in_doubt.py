"""A capture whose end nobody heard: with its event_id it is done again, and counts once."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import psycopg
import pytest

import retryd
from tests.postgres import Connection, Database
from tests.waiting import until

WAITING = "select pid from pg_stat_activity where wait_event_type = 'Lock' and datname = $1"


async def connected(driver: str, dsn: str) -> Any:
    """Open a connection without a transaction."""
    if driver == "asyncpg":
        return await asyncpg.connect(dsn)
    return await psycopg.AsyncConnection.connect(dsn, autocommit=True)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize("end", ["cancelled", "disconnected"])
async def test_a_capture_in_doubt_is_found_by_a_second_one_with_its_event_id(
    database: Database, connection: Connection, driver: str, end: str
) -> None:
    name = await connection.fetchval("select current_database()")
    own = await connected(driver, database.dsn)
    first = connection.transaction()
    await first.start()
    ids = await retryd.capture(connection, "a.failed", event_id="e-1")
    doubtful = asyncio.create_task(retryd.capture(own, "a.failed", event_id="e-1"))
    watcher = await database.connect()
    pid = await until(lambda: watcher.fetchval(WAITING, name))
    if end == "cancelled":
        doubtful.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doubtful
    else:
        await watcher.execute("select pg_terminate_backend($1)", pid)
        with pytest.raises((asyncpg.PostgresError, psycopg.Error)):
            await doubtful
        with pytest.raises(TypeError, match="it is closed"):
            await retryd.capture(own, "a.failed", event_id="e-1")
    await first.commit()
    fresh = await connected(driver, database.dsn)
    assert await retryd.capture(fresh, "a.failed", event_id="e-1") == ids
    assert await watcher.fetchval("select count(*) from retryd.failure_event") == 1
    await own.close()
    await fresh.close()
