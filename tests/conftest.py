"""What every test may ask for. A test with a database has it for itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Generator, Iterator

import asyncpg
import pytest

from retryd.embedded import EmbeddedPostgres
from tests.books import balanced, has_books
from tests.canary import no_canary_in_the_logs  # noqa: F401 - runs around every test
from tests.postgres import FAST, Clock, Cluster, Connection, Database, open_directory
from tests.remains import Processes, no_lock_left, no_session_left

SERVER = "RETRYD_TEST_DATABASE_URL"
PASSED = pytest.StashKey[bool]()
MARKERS = (
    "forgets: retention, or a person, removes retries that have ended, and nothing else is gone",
    "deadlocks: the test provokes one",
)


def pytest_configure(config: pytest.Config) -> None:
    """Take away what would lead retryd, libpq or asyncpg to somebody's own database."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    for name in tuple(os.environ):
        foreign = name.startswith(("RETRYD_", "PG")) or name == "DATABASE_URL"
        if foreign and not name.startswith("RETRYD_TEST_") and name != "RETRYD_PG_BIN":
            del os.environ[name]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note whether the test passed: one that failed is not blamed for what it leaves as well."""
    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    return report


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
async def processes(request: pytest.FixtureRequest) -> AsyncIterator[Processes]:
    """The processes of the test; it must leave none."""
    with Processes.watched() as processes:
        yield processes
        if request.node.stash.get(PASSED, False):
            await processes.ended()


@pytest.fixture
async def database(
    cluster: Cluster, template: str, processes: Processes, request: pytest.FixtureRequest
) -> AsyncIterator[Database]:
    """A database with the schema of retryd, which the base check follows."""
    async with cluster.database(template) as database:
        yield database
        await base_check(database, processes, request.node)


@pytest.fixture
async def plain_database(
    cluster: Cluster, processes: Processes, request: pytest.FixtureRequest
) -> AsyncIterator[Database]:
    """A database without anything of retryd, but for the roles that the server may have."""
    async with cluster.database() as database:
        yield database
        await base_check(database, processes, request.node)


async def base_check(database: Database, processes: Processes, test: pytest.Item) -> None:
    """Fail a test that passed, but lost a retry, or left a lock or a session."""
    if not test.stash.get(PASSED, False):
        return
    connection = await asyncpg.connect(database.dsn)
    try:
        processes.spare(connection.get_server_pid())
        await no_lock_left(connection)
        database.disconnect()
        deadlocks = test.get_closest_marker("deadlocks") is not None
        await no_session_left(connection, deadlocks=deadlocks)
        if await has_books(connection):
            await balanced(connection, forgets=test.get_closest_marker("forgets") is not None)
    finally:
        connection.terminate()


@pytest.fixture
async def connection(database: Database) -> Connection:
    """A connection of the owner to `database`."""
    return await database.connect()


@pytest.fixture
async def clock(database: Database) -> Clock:
    """The time of `database`."""
    return Clock(await database.connect())
