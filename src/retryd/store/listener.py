"""The doorbell: a connection of its own that hears PostgreSQL ring. A hint, never the truth."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from retryd.store.errors import reaching_database
from retryd.store.pool import CONNECT_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

CHANNEL = "retryd"
PING_TIMEOUT_SECONDS = 5.0


class Listener:
    """A listening connection."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self._connection = connection

    async def check(self) -> None:
        """Raise DatabaseUnavailable unless the connection answers and still listens."""
        with reaching_database():
            channels = await self._connection.fetch(
                "select pg_listening_channels()", timeout=PING_TIMEOUT_SECONDS
            )
            if [CHANNEL] not in [list(row) for row in channels]:
                raise ConnectionError("the connection does not listen any more")


@asynccontextmanager
async def open_listener(
    dsn: str, application: str, on_ring: Callable[[], None]
) -> AsyncIterator[Listener]:
    """Listen until the context ends; `on_ring` is called on the event loop."""
    with reaching_database():
        connection = await asyncpg.connect(
            dsn,
            timeout=CONNECT_TIMEOUT_SECONDS,
            server_settings={"application_name": application},
            target_session_attrs=SessionAttribute.read_write,  # a standby cannot be listened to
        )
        try:
            await connection.add_listener(CHANNEL, lambda *_: on_ring())
        except BaseException:
            connection.terminate()
            raise
    try:
        yield Listener(connection)
    finally:
        connection.terminate()
