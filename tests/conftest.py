"""What every test may ask for. A test with a database has it for itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

import pytest

from retryd.embedded import EmbeddedPostgres
from tests.postgres import FAST, Clock, Cluster, Connection, Database, open_directory

SERVER = "RETRYD_TEST_DATABASE_URL"


def pytest_configure() -> None:
    """Take away what would lead retryd, libpq or asyncpg to somebody's own database."""
    for name in tuple(os.environ):
        foreign = name.startswith(("RETRYD_", "PG")) or name == "DATABASE_URL"
        if foreign and not name.startswith("RETRYD_TEST_") and name != "RETRYD_PG_BIN":
            del os.environ[name]


@pytest.fixture(scope="session")
def session_runner() -> Iterator[asyncio.Runner]:
    """Runs what the session does between the loops of its tests, on the thread they run on."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        yield runner


@pytest.fixture(scope="session")
def cluster(session_runner: asyncio.Runner) -> Iterator[Cluster]:
    """The server that RETRYD_TEST_DATABASE_URL names, else one of this process."""
    if address := os.environ.get(SERVER):
        yield Cluster(address)
        return
    with open_directory() as directory:
        server = EmbeddedPostgres(directory, FAST)
        session_runner.run(server.start())
        yield Cluster(server.dsn)
        session_runner.run(server.stop())


@pytest.fixture(scope="session")
def template(session_runner: asyncio.Runner, cluster: Cluster) -> Iterator[str]:
    """The name of a migrated database to copy."""
    name = session_runner.run(cluster.create_template())
    yield name
    session_runner.run(cluster.drop(name))


@pytest.fixture
async def database(cluster: Cluster, template: str) -> AsyncIterator[Database]:
    """A database with the schema of retryd."""
    async with cluster.database(template) as database:
        yield database


@pytest.fixture
async def plain_database(cluster: Cluster) -> AsyncIterator[Database]:
    """A database without anything of retryd, but for the roles that the server may have."""
    async with cluster.database() as database:
        yield database


@pytest.fixture
async def connection(database: Database) -> Connection:
    """A connection of the owner to `database`."""
    return await database.connect()


@pytest.fixture
async def clock(database: Database) -> Clock:
    """The time of `database`."""
    return Clock(await database.connect())
