"""Statements of handlers: each attempt a transaction, which tells of itself that it was made.

In retryd's own database the transaction settles the retry as well; in another it writes a row into
an inbox. So an effect is made once, whatever becomes of the worker and of the connection.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from retryd.domain.errors import DatabaseUnavailable, LeaseLost, StatementFailed
from retryd.store.errors import ABORTS, OUTAGES
from retryd.store.pool import COMMAND_TIMEOUT_SECONDS, Pool, behind_pooler, open_pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from retryd.domain.retry import Retry

    Connection = asyncpg.Connection[asyncpg.Record]

SETTLE = "select retryd.complete_one($1, $2, $3)"
# With -1: no length where none was given, and no type whose name alone means a length of one.
TYPES = "select format_type(o.oid, -1) from unnest($1::oid[]) with ordinality o (oid, n) order by n"
WHOLE = frozenset({"smallint", "integer", "bigint"})
# How much longer than the attempt a transaction may live whose worker stands still.
IDLE_SECONDS = 5.0
MOST_MILLISECONDS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Effect:
    """A statement: `write` puts expressions in the places of its values, `count` of them.

    `inbox` is the table that knows what was made; None: the transaction settles the retry instead.
    """

    write: Callable[..., str]
    count: int
    role: str | None = None
    inbox: str | None = None


class Effects:
    """Makes one effect again and again, over connections of its own, `size` at most.

    `pooled`: whether a connection pooler stands in front of the database; None: it is found out.
    """

    def __init__(
        self, dsn: str, effect: Effect, *, size: int, application: str, pooled: bool | None = None
    ) -> None:
        self._dsn = dsn
        self._effect = effect
        self._size = size
        self._application = application[:63]
        self._pooled = pooled
        self._turns = asyncio.Semaphore(size)  # waits as long as the attempt may take
        self._open = AsyncExitStack()
        self._pool: Pool | None = None
        self._text: str | None = None

    async def close(self) -> None:
        """Close the connections."""
        await self._open.aclose()

    async def prepare(self) -> None:
        """Have PostgreSQL understand the statement, and find the types of its values.

        Raises StatementFailed or DatabaseUnavailable.
        """
        effect = self._effect
        numbers = range(1, effect.count + 1)
        async with self._transaction(COMMAND_TIMEOUT_SECONDS) as connection:
            with failing(aborts=()):
                prepared = await connection.prepare(effect.write(*(f"${n}" for n in numbers)))
                if effect.inbox is not None:
                    await connection.prepare(remembering(effect.inbox))
                oids = [parameter.oid for parameter in prepared.get_parameters()]
                types = [row[0] for row in await connection.fetch(TYPES, oids)]
        self._text = effect.write(*map(reading, numbers, types))

    async def make(self, retry: Retry, values: Sequence[str | None], seconds: float) -> bool:
        """Make the effect for a retry, in so many seconds; tells whether the retry is settled.

        Raises StatementFailed or DatabaseUnavailable, after which it was not made, but where the
        connection broke while it was committed; LeaseLost if it is another's to make by now.
        """
        if self._text is None:
            await self.prepare()
        if self._effect.inbox is None:
            await self._settling(retry, values, seconds)
            return True
        await self._remembered(self._effect.inbox, retry, values, seconds)
        return False

    async def _settling(self, retry: Retry, values: Sequence[str | None], seconds: float) -> None:
        began = time.monotonic()
        async with self._transaction(seconds) as connection:
            await self._run(connection, values, seconds)
            if self._effect.role is not None:  # what it deferred runs as its role, too
                with failing():
                    await connection.execute("set constraints all immediate; set local role none")
            took = time.monotonic() - began
            if not await connection.fetchval(SETTLE, retry.id, retry.claim_token, took):
                raise LeaseLost

    async def _remembered(
        self, inbox: str, retry: Retry, values: Sequence[str | None], seconds: float
    ) -> None:
        key = f"{retry.event_id}/{retry.handler}/{retry.id}/{retry.life}"
        ran = False
        try:
            async with self._transaction(seconds) as connection:
                with failing():
                    if await connection.fetchval(remembering(inbox), key) is None:
                        return  # it was made before, and nobody came to know
                await self._run(connection, values, seconds)
                ran = True
        except DatabaseUnavailable:
            # The answer to the commit may be what was lost: this attempt may be the last.
            if not ran or not await self._made(inbox, key):
                raise

    async def _made(self, inbox: str, key: str) -> bool:
        async with self._transaction(COMMAND_TIMEOUT_SECONDS) as connection:
            query = f"select 1 from {inbox} where delivery = $1"  # noqa: S608 - a name of the configuration
            return await connection.fetchval(query, key) is not None

    async def _run(
        self, connection: Connection, values: Sequence[str | None], seconds: float
    ) -> None:
        assert self._text is not None  # noqa: S101 - `prepare` writes it
        with failing():
            await connection.fetch(self._text, *values, timeout=seconds + IDLE_SECONDS)

    @asynccontextmanager
    async def _transaction(self, seconds: float) -> AsyncIterator[Connection]:
        milliseconds = min(max(1, int(seconds * 1000)), MOST_MILLISECONDS)
        role = self._effect.role
        begin = (
            f"begin; set local statement_timeout = {milliseconds};"
            f" set local idle_in_transaction_session_timeout = {int(IDLE_SECONDS * 1000)}"
            + (f'; set local role "{role.replace(chr(34), chr(34) * 2)}"' if role else "")
        )
        async with self._turns:
            pool = await self._connected()
            async with pool.connection() as connection:
                try:
                    with failing():
                        await connection.execute(begin)
                    yield connection
                    with failing():
                        await connection.execute("commit", timeout=seconds + IDLE_SECONDS)
                except BaseException:
                    with suppress(Exception):
                        await connection.execute("rollback")
                    raise

    async def _connected(self) -> Pool:
        """Return the pool, whose first connection is made when it is asked for."""
        if self._pooled is None:
            self._pooled = await behind_pooler(self._dsn, self._application)
        if self._pool is None:
            self._pool = await self._open.enter_async_context(
                open_pool(
                    self._dsn,
                    size=self._size,
                    application=self._application,
                    pgbouncer=self._pooled,
                    writable=True,
                )
            )
        return self._pool


def reading(number: int, of_type: str) -> str:
    """Write the expression that makes a value of this type of the text that is bound.

    3.0 is a whole number for JSON, and for PostgreSQL once nothing stands behind its point.
    """
    text = f"${number}::text"
    if of_type in WHOLE:
        text = f"pg_catalog.regexp_replace({text}, '^(-?[0-9]+)[.]0+$', E'\\\\1')"
    return f"({text}::{of_type})"


def remembering(inbox: str) -> str:
    """Write the statement that remembers a delivery, and returns nothing for one that is known."""
    return f"insert into {inbox} (delivery) values ($1) on conflict do nothing returning 1"  # noqa: S608 - a name of the configuration


@contextmanager
def failing(aborts: tuple[type[Exception], ...] = ABORTS) -> Iterator[None]:
    """Turn what PostgreSQL says against the statement into StatementFailed, `aborts` too.

    What says nothing against it, since PostgreSQL or the connection is going, stays as it is.
    """
    try:
        yield
    except aborts as error:
        raise failed(error) from None
    except (*ABORTS, *OUTAGES):
        raise
    except asyncpg.PostgresError as error:
        raise failed(error) from None


def failed(error: Exception) -> StatementFailed:
    """Tell what PostgreSQL said, without its detail, which shows values."""
    return StatementFailed(str(error.args[0]), getattr(error, "sqlstate", None))
