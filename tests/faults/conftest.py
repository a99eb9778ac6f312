"""A server that faults may happen to, and the retries of one test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.faults.fleet import Fleet
from tests.faults.proxy import Proxy
from tests.faults.scene import Scene
from tests.faults.server import Server
from tests.postgres import Cluster, Database, open_directory


@pytest.fixture(scope="session")
def server(session_runner: asyncio.Runner) -> Iterator[Server]:
    """The server of these tests, one for each process."""
    with open_directory() as folder:
        server = Server(folder / "postgres")
        session_runner.run(server.start())
        yield server
        session_runner.run(server.stop())


@pytest.fixture(scope="session")
def cluster(server: Server) -> Cluster:
    """The same server, where databases are made."""
    return Cluster(server.dsn)


@pytest.fixture(scope="session")
def template(session_runner: asyncio.Runner, server: Server, cluster: Cluster) -> str:
    """The name of a migrated database to copy; the server has a login for workers."""
    name = session_runner.run(cluster.create_template())
    session_runner.run(server.make_login())
    return name


@pytest.fixture
async def scene(server: Server, database: Database, tmp_path: Path) -> AsyncIterator[Scene]:
    """A database, a fleet without members, and the retries that are captured for it."""
    async with Fleet.of(server.worker_dsn(database.dsn), tmp_path) as fleet:
        try:
            yield Scene(server, database, fleet)
        finally:
            await server.mend()


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[Proxy]:
    """A proxy before the server, which passes everything on."""
    async with Proxy.before(server.port) as proxy:
        yield proxy
