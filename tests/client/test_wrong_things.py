"""What is no connection of the right kind: a TypeError that says what to pass."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import psycopg
import psycopg2
import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

import retryd
from tests.client.callers import url_of
from tests.postgres import Database

TO_CAPTURE = r"takes an open asyncpg connection or pool, .*AsyncSession, not "
TO_CAPTURE_SYNC = r"takes an open SQLAlchemy Connection or Session, .*cursor, not "


@pytest.fixture
async def things(database: Database) -> AsyncIterator[dict[str, Any]]:
    """Things that applications hold, by their names."""
    engine = create_engine(url_of(database.dsn, "psycopg"))
    async_engine = create_async_engine(url_of(database.dsn, "asyncpg"))
    async with await psycopg.AsyncConnection.connect(database.dsn) as asynchronous:
        with psycopg.connect(database.dsn) as connection:
            yield {
                "engine": engine,
                "async engine": async_engine,
                "session factory": sessionmaker(engine),
                "session": Session(engine),
                "async session": AsyncSession(async_engine),
                "psycopg": connection,
                "async psycopg": asynchronous,
                "async psycopg cursor": asynchronous.cursor(),
                "asyncpg": await database.connect(),
                "class": psycopg.Connection,
                "async class": psycopg.AsyncConnection,
                "class of asyncpg": asyncpg.Connection,
                "nothing": None,
                "address": database.dsn,
                "event": {"event_type": "a.failed"},
            }
    await async_engine.dispose()
    engine.dispose()


NEITHER = {"engine", "async engine", "session factory", "class", "async class"} | {
    *("class of asyncpg", "nothing", "address", "event")
}
BLOCKING = {"session", "psycopg"}
AWAITED = {"async session", "async psycopg", "async psycopg cursor", "asyncpg"}


@pytest.mark.parametrize("name", sorted(NEITHER))
async def test_what_is_no_connection_is_named(things: dict[str, Any], name: str) -> None:
    for events in ([], [{"event_type": "a.failed"}]):
        with pytest.raises(TypeError, match=TO_CAPTURE + ".*: pass a connection of yours"):
            await retryd.capture_many(things[name], events)
        with pytest.raises(TypeError, match=TO_CAPTURE_SYNC + ".*: pass a connection of yours"):
            retryd.capture_many_sync(things[name], events)


@pytest.mark.parametrize("name", sorted(BLOCKING))
async def test_a_blocking_connection_is_led_to_the_other_door(
    things: dict[str, Any], name: str
) -> None:
    with pytest.raises(TypeError, match=TO_CAPTURE + r".*; use retryd\.capture_sync"):
        await retryd.capture(things[name], "a.failed")


@pytest.mark.parametrize("name", sorted(AWAITED))
async def test_an_asynchronous_connection_is_led_to_the_other_door(
    things: dict[str, Any], name: str
) -> None:
    with pytest.raises(TypeError, match=TO_CAPTURE_SYNC + r".*; await retryd\.capture "):
        retryd.capture_sync(things[name], "a.failed")


async def test_what_is_closed_is_named_as_that(database: Database) -> None:
    connection = await asyncpg.connect(database.dsn)
    await connection.close()
    pool = await asyncpg.create_pool(database.dsn, min_size=0)
    await pool.close()
    mine = await psycopg.AsyncConnection.connect(database.dsn)
    await mine.close()
    for closed in (connection, pool, mine):
        with pytest.raises(TypeError, match="; it is closed"):
            await retryd.capture(closed, "a.failed")


def test_what_is_closed_and_blocks_is_named_as_that(database: Database) -> None:
    engine = create_engine(url_of(database.dsn, "psycopg"))
    with engine.connect() as connection, psycopg.connect(database.dsn) as own:
        cursor = own.cursor()
        cursor.close()
    other = psycopg2.connect(database.dsn)
    other.close()
    for closed in (connection, own, cursor, other):
        with pytest.raises(TypeError, match="; it is closed"):
            retryd.capture_sync(closed, "a.failed")
    engine.dispose()
