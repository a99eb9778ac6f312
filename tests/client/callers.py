"""Every kind of connection that an application may have, each with a transaction of its own."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeAlias

import asyncpg
import psycopg
import psycopg2
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool

import retryd

Run: TypeAlias = Callable[[str], Awaitable[None]]
End: TypeAlias = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Caller:
    """An application's connection, and what the application does with it beside capturing."""

    connection: Any
    run: Run
    commit: End
    rollback: End
    sync: bool = False

    async def capture(self, *arguments: Any, **details: Any) -> list[int]:
        """Capture an event by the single door."""
        if self.sync:
            return retryd.capture_sync(self.connection, *arguments, **details)
        return await retryd.capture(self.connection, *arguments, **details)

    async def capture_many(self, events: Iterable[Mapping[str, Any]]) -> list[int]:
        """Capture events by the bulk door."""
        if self.sync:
            return retryd.capture_many_sync(self.connection, events)
        return await retryd.capture_many(self.connection, events)


Open: TypeAlias = Callable[[str], AsyncIterator[Caller]]


def blocking(connection: Any, execute: Callable[[str], object], owner: Any) -> Caller:
    """Make a caller of a connection that blocks; `owner` ends its transactions."""

    async def run(statement: str) -> None:
        execute(statement)

    async def commit() -> None:
        owner.commit()

    async def rollback() -> None:
        owner.rollback()

    return Caller(connection, run, commit, rollback, sync=True)


def awaited(connection: Any, execute: Callable[[str], Awaitable[object]], owner: Any) -> Caller:
    """Make a caller of a connection that is awaited."""

    async def run(statement: str) -> None:
        await execute(statement)

    return Caller(connection, run, owner.commit, owner.rollback)


def of_asyncpg(connection: Any) -> Caller:
    """Make a caller of an asyncpg connection in a transaction."""

    async def run(statement: str) -> None:
        await connection.execute(statement)

    async def commit() -> None:
        await connection.execute("commit; begin")

    async def rollback() -> None:
        await connection.execute("rollback; begin")

    return Caller(connection, run, commit, rollback)


async def asyncpg_connection(dsn: str) -> AsyncIterator[Caller]:
    connection = await asyncpg.connect(dsn)
    await connection.execute("begin")
    yield of_asyncpg(connection)
    await connection.close()


async def asyncpg_from_a_pool(dsn: str) -> AsyncIterator[Caller]:
    async with asyncpg.create_pool(dsn, min_size=1) as pool, pool.acquire() as connection:
        await connection.execute("begin")
        yield of_asyncpg(connection)


async def psycopg_async_connection(dsn: str) -> AsyncIterator[Caller]:
    connection = await psycopg.AsyncConnection.connect(dsn)
    yield awaited(connection, connection.execute, connection)
    await connection.close()


async def psycopg_async_cursor(dsn: str) -> AsyncIterator[Caller]:
    connection = await psycopg.AsyncConnection.connect(dsn)
    async with connection.cursor() as cursor:
        yield awaited(cursor, cursor.execute, connection)
    await connection.close()


async def psycopg_connection(dsn: str) -> AsyncIterator[Caller]:
    with closing(psycopg.connect(dsn)) as connection:
        yield blocking(connection, connection.execute, connection)


async def psycopg_cursor(dsn: str) -> AsyncIterator[Caller]:
    with closing(psycopg.connect(dsn)) as connection, connection.cursor() as cursor:
        yield blocking(cursor, cursor.execute, connection)


async def psycopg2_connection(dsn: str) -> AsyncIterator[Caller]:
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        yield blocking(connection, cursor.execute, connection)


async def psycopg2_cursor(dsn: str) -> AsyncIterator[Caller]:
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        yield blocking(cursor, cursor.execute, connection)


def url_of(dsn: str, driver: str) -> URL:
    """Return the address as SQLAlchemy writes it; its asyncpg does not know libpq's `sslmode`."""
    url = make_url(dsn).set(drivername=f"postgresql+{driver}")
    return url.difference_update_query(["sslmode"]) if driver == "asyncpg" else url


def sqlalchemy_async_connection(driver: str) -> Open:
    async def opened(dsn: str) -> AsyncIterator[Caller]:
        engine = create_async_engine(url_of(dsn, driver))
        async with engine.connect() as connection:
            yield awaited(connection, connection.exec_driver_sql, connection)
        await engine.dispose()

    return opened


def sqlalchemy_async_session(driver: str, *, scoped: bool = False) -> Open:
    async def opened(dsn: str) -> AsyncIterator[Caller]:
        engine = create_async_engine(url_of(dsn, driver))
        factory = async_sessionmaker(engine)
        session: Any = (
            async_scoped_session(factory, lambda: None) if scoped else AsyncSession(engine)
        )
        yield awaited(session, lambda statement: session.execute(text(statement)), session)
        await session.close()
        await engine.dispose()

    return opened


def sqlalchemy_connection(driver: str) -> Open:
    async def opened(dsn: str) -> AsyncIterator[Caller]:
        engine = create_engine(url_of(dsn, driver))
        with engine.connect() as connection:
            yield blocking(connection, connection.exec_driver_sql, connection)
        engine.dispose()

    return opened


def sqlalchemy_session(driver: str, *, scoped: bool = False) -> Open:
    async def opened(dsn: str) -> AsyncIterator[Caller]:
        engine = create_engine(url_of(dsn, driver))
        session: Any = scoped_session(sessionmaker(engine)) if scoped else Session(engine)
        yield blocking(session, lambda statement: session.execute(text(statement)), session)
        session.close()
        engine.dispose()

    return opened


async def sqlalchemy_raw_connection(dsn: str) -> AsyncIterator[Caller]:
    connection = create_engine(url_of(dsn, "psycopg2"), poolclass=NullPool).raw_connection()
    with closing(connection), closing(connection.cursor()) as cursor:
        yield blocking(connection, cursor.execute, connection)


class StyledCursor:
    """A DB-API cursor that takes one paramstyle and nothing else."""

    def __init__(self, cursor: Any, paramstyle: str) -> None:
        self._cursor = cursor
        self.paramstyle = paramstyle
        self.fetchall = cursor.fetchall
        self.close = cursor.close

    def execute(self, statement: str, parameters: Any = ()) -> None:
        """Run a statement of this paramstyle."""
        values: Sequence[Any]
        match self.paramstyle:
            case "qmark":
                values, found = parameters, re.findall(r"\?", statement)
            case "format":
                values, found = parameters, re.findall("%s", statement)
            case "numeric":
                found = re.findall(r":\d+", statement)
                values = [parameters[int(place[1:]) - 1] for place in found]
            case _:
                found = re.findall(r":[a-z]\w*", statement)
                values = [parameters[place[1:]] for place in found]
        assert len(found) == len(values)
        for place in found:
            statement = statement.replace(place, "\0", 1)
        self._cursor.execute(statement.replace("\0", "%s"), values)


class StyledConnection:
    """A DB-API connection whose cursors take one paramstyle."""

    def __init__(self, connection: Any, paramstyle: str) -> None:
        self._connection = connection
        self._paramstyle = paramstyle
        self.commit = connection.commit
        self.rollback = connection.rollback

    def cursor(self) -> StyledCursor:
        """Open a cursor."""
        return StyledCursor(self._connection.cursor(), self._paramstyle)


def dbapi(paramstyle: str) -> Open:
    """Make a driver of this paramstyle: a module of its own, over psycopg2."""

    async def opened(dsn: str) -> AsyncIterator[Caller]:
        driver: Any = ModuleType(f"driver_{paramstyle}")
        driver.paramstyle = paramstyle
        driver.Connection = type(
            "Connection", (StyledConnection,), {"__module__": f"{driver.__name__}.dbapi"}
        )
        sys.modules[driver.__name__] = driver
        try:
            with closing(psycopg2.connect(dsn)) as real:
                connection = driver.Connection(real, paramstyle)
                cursor = connection.cursor()
                yield blocking(connection, cursor.execute, connection)
        finally:
            del sys.modules[driver.__name__]

    return opened


async def hidden_driver(dsn: str) -> AsyncIterator[Caller]:
    """Wrap a connection so that its driver cannot be seen, as web frameworks do."""
    with closing(psycopg2.connect(dsn)) as real:
        connection = StyledConnection(real, "format")
        yield blocking(connection, connection.cursor().execute, connection)


async def hidden_connection(dsn: str) -> AsyncIterator[Caller]:
    """Wrap a cursor so that not even its connection can be seen."""
    with closing(psycopg2.connect(dsn)) as real:
        connection = StyledConnection(real, "format")
        cursor = connection.cursor()
        yield blocking(cursor, cursor.execute, connection)


CALLERS: Mapping[str, Open] = {
    "asyncpg": asyncpg_connection,
    "asyncpg from a pool": asyncpg_from_a_pool,
    "psycopg async": psycopg_async_connection,
    "psycopg async cursor": psycopg_async_cursor,
    "psycopg": psycopg_connection,
    "psycopg cursor": psycopg_cursor,
    "psycopg2": psycopg2_connection,
    "psycopg2 cursor": psycopg2_cursor,
    "sqlalchemy async connection, asyncpg": sqlalchemy_async_connection("asyncpg"),
    "sqlalchemy async connection, psycopg": sqlalchemy_async_connection("psycopg"),
    "sqlalchemy async session, asyncpg": sqlalchemy_async_session("asyncpg"),
    "sqlalchemy async session, psycopg": sqlalchemy_async_session("psycopg"),
    "sqlalchemy async scoped session": sqlalchemy_async_session("asyncpg", scoped=True),
    "sqlalchemy connection, psycopg": sqlalchemy_connection("psycopg"),
    "sqlalchemy connection, psycopg2": sqlalchemy_connection("psycopg2"),
    "sqlalchemy session, psycopg": sqlalchemy_session("psycopg"),
    "sqlalchemy session, psycopg2": sqlalchemy_session("psycopg2"),
    "sqlalchemy scoped session": sqlalchemy_session("psycopg", scoped=True),
    "sqlalchemy raw connection": sqlalchemy_raw_connection,
    "dbapi qmark": dbapi("qmark"),
    "dbapi format": dbapi("format"),
    "dbapi numeric": dbapi("numeric"),
    "dbapi named": dbapi("named"),
    "dbapi hidden": hidden_driver,
    "dbapi cursor, hidden": hidden_connection,
}


def opened(kind: str, dsn: str) -> Any:
    """Open a connection of this kind; closed at the end of the block."""
    return asynccontextmanager(CALLERS[kind])(dsn)
