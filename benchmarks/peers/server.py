"""The private PostgreSQL of a run: settings, databases, costs."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import asyncpg

from benchmarks.peers.cost import cpu_seconds
from retryd.embedded import EmbeddedPostgres

# Durable as by default; vacuum as often as busy queues want it; the rest so that a run of minutes
# does not measure checkpoints.
SETTINGS: Final = {
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "autovacuum_naptime": "5s",
    "autovacuum_vacuum_scale_factor": "0.02",
    "jit": "off",
    "max_connections": "200",
}

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Connection]:
    """Connect."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


class Server:
    """PostgreSQL, and its databases."""

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        self._postgres = postgres
        address = urlsplit(postgres.dsn)
        self._base = f"postgresql://{address.netloc}"

    def dsn(self, database: str = "postgres") -> str:
        """Return the address of a database, plain enough for every driver."""
        return f"{self._base}/{database}?sslmode=disable"

    async def create(self, database: str, template: str = "template1") -> str:
        """Make a database anew; returns its address."""
        await self.execute(f'drop database if exists "{database}" with (force)')
        await self.execute(f'create database "{database}" template "{template}"')
        return self.dsn(database)

    async def drop(self, database: str) -> None:
        """Remove a database."""
        await self.execute(f'drop database if exists "{database}" with (force)')

    async def execute(self, statement: str, database: str = "postgres") -> None:
        """Run a statement on a connection of its own."""
        async with connected(self.dsn(database)) as connection:
            await connection.execute(statement)

    async def version(self) -> str:
        """Tell its version."""
        async with connected(self.dsn()) as connection:
            return str(await connection.fetchval("show server_version"))

    def cpu_seconds(self) -> float:
        """Return the time on a processor of all its processes."""
        return cpu_seconds(self._postgres.pid)


@asynccontextmanager
async def open_server() -> AsyncIterator[Server]:
    """Start one, which is removed afterwards."""
    with open_folder() as folder:
        async with EmbeddedPostgres(folder / "postgres", SETTINGS) as postgres:
            yield Server(postgres)


@contextmanager
def open_folder() -> Iterator[Path]:
    """Make a folder that the server's own account may enter too."""
    with tempfile.TemporaryDirectory(prefix="retryd-peers-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder
