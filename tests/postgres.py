"""PostgreSQL for the tests: one server, one migrated template, a database for each test."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import asyncpg

from retryd.store.schema import migrate

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# A crash of the machine may lose a test's data.
FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "200",
    "max_wal_size": "256MB",
}

# `create or replace` keeps the owner and the grants of the function.
MOVABLE_CLOCK = """
    create schema retryd_test;
    create table retryd_test.clock (ahead interval not null);
    insert into retryd_test.clock (ahead) values ('0');
    grant usage on schema retryd_test to public;
    grant select on retryd_test.clock to public;
    create or replace function retryd.now() returns timestamptz
    language sql volatile parallel safe
    as $$ select clock_timestamp() + (select c.ahead from retryd_test.clock c) $$;
"""

# An account of what was accepted, tried and ended, kept by triggers in the same transactions.
BOOKS = """
    create schema books;
    create table books.entry (
        number bigint generated always as identity, id bigint not null, page text not null);
    create table books.attempt (
        number bigint generated always as identity, retry bigint not null, token bigint not null);
    create function books.note() returns trigger language plpgsql security definer as $$
    begin
        insert into books.entry (id, page) select f.id, tg_argv[0] from fresh f;
        return null;
    end $$;
    create function books.note_again() returns trigger language plpgsql security definer as $$
    begin
        insert into books.entry (id, page)
        select f.id, 'dead' from fresh f where f.status = 'failed';
        return null;
    end $$;
    create function books.note_attempt() returns trigger language plpgsql security definer as $$
    begin
        insert into books.attempt (retry, token) select f.retry, f.claim_token from fresh f;
        return null;
    end $$;
    create trigger books after insert on retryd.failure_event referencing new table as fresh
        execute function books.note('captured');
    create trigger books after insert on retryd.retry_queue referencing new table as fresh
        execute function books.note('live');
    create trigger books after insert on retryd.retry_archive referencing new table as fresh
        execute function books.note('done');
    create trigger books after insert on retryd.dead_letter referencing new table as fresh
        execute function books.note('dead');
    create trigger books_again after update on retryd.dead_letter referencing new table as fresh
        execute function books.note_again();
    create trigger books after insert on retryd.retry_attempt referencing new table as fresh
        execute function books.note_attempt();
"""


class Database:
    """A database that lives for one test, and the connections that the test opened to it."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._connections: list[Connection] = []

    async def connect(self) -> Connection:
        """Open a connection; it is closed with the test, whatever it is doing then."""
        connection = await asyncpg.connect(self.dsn)
        self._connections.append(connection)
        return connection

    async def open_books(self) -> None:
        """Let a database that was migrated in the test keep books; copies of the template do."""
        await (await self.connect()).execute(BOOKS)

    def disconnect(self) -> None:
        """Break what the test left open."""
        for connection in self._connections:
            connection.terminate()


class Clock:
    """Moves `retryd.now()` of one database."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass for every statement that begins from here on; they add up."""
        await self._connection.execute(
            "update retryd_test.clock set ahead = ahead + make_interval(secs => $1)", seconds
        )


class Cluster:
    """A server in which databases with names of their own are made and dropped."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._names = (f"retryd_test_{secrets.token_hex(6)}_{number}" for number in count())

    @asynccontextmanager
    async def database(self, template: str = "template1") -> AsyncIterator[Database]:
        """Make a copy of `template`, and drop it at the end, whoever is connected."""
        name = await self.create(template)
        database = Database(self.dsn_of(name))
        try:
            yield database
        finally:
            database.disconnect()
            await self.drop(name)

    async def create_template(self) -> str:
        """Make a database with the schema of retryd, a clock that tests can move, and books.

        Roles belong to the server: they are made by a superuser only, others do without them.
        """
        name = await self.create("template1")
        dsn = self.dsn_of(name)
        try:
            await migrate(dsn, roles=await self._is_superuser())
            await self._execute(MOVABLE_CLOCK, dsn)
            await self._execute(BOOKS, dsn)
        except BaseException:
            await self.drop(name)
            raise
        return name

    async def create(self, template: str) -> str:
        """Make a copy of `template`; returns its name."""
        name = next(self._names)
        await self._execute(f"create database {name} template {template}", self._dsn)
        return name

    async def drop(self, name: str) -> None:
        """Drop a database and break the connections to it."""
        await self._execute(f"drop database {name} with (force)", self._dsn)

    def dsn_of(self, name: str) -> str:
        """Return the address of a database of this server."""
        return urlsplit(self._dsn)._replace(path=f"/{name}").geturl()

    async def _is_superuser(self) -> bool:
        connection = await asyncpg.connect(self._dsn)
        try:
            return bool(await connection.fetchval("show is_superuser") == "on")
        finally:
            await connection.close()

    async def _execute(self, statements: str, dsn: str) -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(statements)
        finally:
            await connection.close()


@contextmanager
def open_directory() -> Iterator[Path]:
    """Make a directory that every user may enter; pytest's own are closed to others."""
    path = Path(tempfile.mkdtemp(prefix="retryd-test-", dir=memory()))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def memory() -> Path | None:
    """Return a file system in memory, if there is one with room, from which programs may run.

    A busy disk makes the copy of a database up to 20 times slower: it is some 300 files.
    """
    place = Path("/dev/shm")  # noqa: S108  (mkdtemp makes the name)
    if not os.access(place, os.W_OK):
        return None
    system = os.statvfs(place)
    roomy = system.f_bavail * system.f_frsize >= 2 * 1024**3
    return place if roomy and not system.f_flag & os.ST_NOEXEC else None
