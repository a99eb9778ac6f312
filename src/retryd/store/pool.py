"""Connections to PostgreSQL, for everything that retryd itself asks."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import asyncpg
from typing_extensions import override

from retryd.store.errors import reaching_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import TypeAlias

    Plain: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Plain = asyncpg.Connection  # generic only in its stubs

COMMAND_TIMEOUT_SECONDS = 60.0
CONNECT_TIMEOUT_SECONDS = 10.0
SETTINGS = {"jit": "off", "timezone": "UTC"}
STATEMENTS = 100


class SharedConnection(Plain):
    """A connection that goes back to the pool as it is.

    No session state is ever set on it, so the driver's reset, a round trip each time and harmful
    to other people's sessions behind pgbouncer, has nothing to undo.
    """

    @override
    def get_reset_query(self) -> str:
        """Say that there is nothing to reset."""
        return ""


class Pool:
    """A bounded set of connections, made when they are needed and replaced when they break."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """Lend a connection; what the driver raises meanwhile becomes an error of ours."""
        with reaching_database():
            connection = await self._pool.acquire(timeout=CONNECT_TIMEOUT_SECONDS)
            try:
                yield cast("asyncpg.Connection[asyncpg.Record]", connection)
            finally:
                await self._pool.release(connection, timeout=CONNECT_TIMEOUT_SECONDS)

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Run one statement and return its rows."""
        async with self.connection() as connection:
            return await connection.fetch(query, *arguments)

    async def fetchval(self, query: str, *arguments: object) -> Any:
        """Run one statement and return the first value of its first row."""
        async with self.connection() as connection:
            return await connection.fetchval(query, *arguments)


@asynccontextmanager
async def open_pool(
    dsn: str, *, size: int, application: str, pgbouncer: bool = False
) -> AsyncIterator[Pool]:
    """Open a pool of at most `size` connections; the first one is made when it is asked for.

    Behind pgbouncer in transaction mode each statement may meet another server connection: then
    nothing is prepared, and no parameter is sent that pgbouncer does not know.
    """
    settings = {"application_name": application}
    with reaching_database():
        pool = await asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=size,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=COMMAND_TIMEOUT_SECONDS,
            connection_class=SharedConnection,
            statement_cache_size=0 if pgbouncer else STATEMENTS,
            server_settings=settings if pgbouncer else {**SETTINGS, **settings},
        )
    try:
        yield Pool(pool)
    finally:
        pool.terminate()
