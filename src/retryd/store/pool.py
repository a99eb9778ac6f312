"""Connections to PostgreSQL, for everything that retryd itself asks."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

import asyncpg
from asyncpg.connect_utils import SessionAttribute
from typing_extensions import override

from retryd.domain.errors import DatabaseUnavailable, StatementAborted
from retryd.store.errors import reaching_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import TypeAlias

    from asyncpg.pool import PoolConnectionProxy

    from retryd.store.reach import Reach

    Plain: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Plain = asyncpg.Connection  # generic only in its stubs

COMMAND_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 5.0
RELEASE_TIMEOUT_SECONDS = 2.0
IDLE_SECONDS = 300.0
# What is read for gauges and for people leaves processors to the work.
SETTINGS = {"jit": "off", "timezone": "UTC", "max_parallel_workers_per_gather": "0"}
STATEMENTS = 100
LOCK_TIMEOUT = "2s"
# Longer than a sign of life takes to be answered, where anything is answered at all.
SILENT_SECONDS = COMMAND_TIMEOUT_SECONDS + 1


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
    """A bounded set of connections, made when they are needed and replaced when they break.

    With `keeps` there is one, for one user, that is not given back as long as it works: taking it
    from the driver's pool and giving it back costs several turns of a busy event loop.
    """

    def __init__(
        self, pool: asyncpg.Pool[asyncpg.Record], reach: Reach | None = None, *, keeps: bool = False
    ) -> None:
        self._pool = pool
        self._reach = reach
        self._keeps = keeps
        self._kept: PoolConnectionProxy[asyncpg.Record] | None = None

    @property
    def open(self) -> int:
        """How many connections there are."""
        return self._pool.get_size()

    @property
    def idle(self) -> int:
        """How many of them nobody uses."""
        return self._pool.get_idle_size() + (self._kept is not None)

    @property
    def largest(self) -> int:
        """How many there may be."""
        return self._pool.get_max_size()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """Lend a connection; what the driver raises meanwhile becomes an error of ours."""
        try:
            with reaching_database():
                async with self._acquired() as connection:
                    yield connection
        except StatementAborted:
            raise  # it answered
        except DatabaseUnavailable as error:
            await self._unavailable(error)
            raise
        else:
            if self._reach is not None:
                self._reach.answered()

    async def _unavailable(self, error: DatabaseUnavailable) -> None:
        silent = isinstance(error.__cause__, TimeoutError)
        if silent or isinstance(error.__cause__, asyncpg.ReadOnlySQLTransactionError):
            await self._pool.expire_connections()  # the others lead to the same place
        if self._reach is None:
            return
        if silent:
            self._reach.timed_out(str(error), SILENT_SECONDS)
        else:
            self._reach.failed(str(error))

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        kept, self._kept = self._kept, None
        connection = kept if kept is not None and works(kept) else await self._acquire()
        try:
            yield cast("asyncpg.Connection[asyncpg.Record]", connection)
        except BaseException:
            # What went wrong matters more than what happens to a connection that may be dead.
            with suppress(Exception):
                await self._pool.release(connection, timeout=RELEASE_TIMEOUT_SECONDS)
            raise
        if self._keeps:
            self._kept = connection
        else:
            await self._pool.release(connection, timeout=RELEASE_TIMEOUT_SECONDS)

    async def _acquire(self) -> PoolConnectionProxy[asyncpg.Record]:
        try:
            return await self._pool.acquire(timeout=CONNECT_TIMEOUT_SECONDS)
        except TimeoutError as error:
            if self.open < self.largest or self.idle:
                raise
            message = (
                f"all {self.largest} connections were in use for {CONNECT_TIMEOUT_SECONDS:g} s: "
                "PostgreSQL is slow, or database.pool_size is too small"
            )
            raise StatementAborted(message) from error

    async def fetch(
        self, query: str, *arguments: object, within: float | None = None
    ) -> list[asyncpg.Record]:
        """Run one statement and return its rows; `within` in seconds, None: that of the pool."""
        async with self.connection() as connection:
            return await connection.fetch(query, *arguments, timeout=within)

    async def fetchval(self, query: str, *arguments: object, within: float | None = None) -> Any:
        """Run one statement and return the first value of its first row."""
        async with self.connection() as connection:
            return await connection.fetchval(query, *arguments, timeout=within)


def works(connection: PoolConnectionProxy[asyncpg.Record]) -> bool:
    """Tell whether a connection was still open when something was last heard of it."""
    try:
        return not cast("asyncpg.Connection[asyncpg.Record]", connection).is_closed()
    except asyncpg.InterfaceError:  # it broke, and the driver has taken it back by itself
        return False


@asynccontextmanager
async def open_pool(
    dsn: str,
    *,
    size: int,
    application: str,
    command_seconds: float = COMMAND_TIMEOUT_SECONDS,
    pgbouncer: bool = False,
    writable: bool = False,
    reserved: bool = False,
    reach: Reach | None = None,
) -> AsyncIterator[Pool]:
    """Open a pool of at most `size` connections; the first one is made when it is asked for.

    Behind pgbouncer in transaction mode each statement may meet another server connection: then
    nothing is prepared, and no parameter is sent that pgbouncer does not know. `writable` takes
    only a server that may be written to, of those that the DSN names. `reserved` is for what must
    not be held up: connections are kept however long they are idle, and a row that somebody keeps
    locked is not waited for. `reach` hears whether PostgreSQL answers.
    """
    settings = {"application_name": application}
    if not pgbouncer:
        settings |= SETTINGS
        if reserved:
            settings["lock_timeout"] = LOCK_TIMEOUT
    with reaching_database():
        pool = await asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=size,
            max_inactive_connection_lifetime=0 if reserved else IDLE_SECONDS,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=command_seconds,
            connection_class=SharedConnection,
            statement_cache_size=0 if pgbouncer else STATEMENTS,
            server_settings=settings,
            target_session_attrs=SessionAttribute.read_write if writable else SessionAttribute.any,
        )
    try:
        yield Pool(pool, reach, keeps=reserved)
    finally:
        pool.terminate()


async def behind_pooler(dsn: str, application: str) -> bool:
    """Tell whether a connection pooler, such as pgbouncer, stands between us and PostgreSQL.

    A pooler invents the process number that it gives at login, the key for cancelling a statement;
    the server process that runs our statement has another one.
    """
    with reaching_database():
        connection = await asyncpg.connect(
            dsn,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=COMMAND_TIMEOUT_SECONDS,
            statement_cache_size=0,
            server_settings={"application_name": application},
        )
        try:
            process = await connection.fetchval("select pg_backend_pid()")
            return bool(process != connection.get_server_pid())
        finally:
            connection.terminate()
