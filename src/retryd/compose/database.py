"""The database that is meant, and what a person may ask of it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retryd.embedded import EmbeddedPostgres, default_directory
from retryd.store.intake import Intake
from retryd.store.operators import Operators
from retryd.store.pool import Pool, open_pool
from retryd.store.reads import Reads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from retryd.settings.database import DatabaseChoice

PATIENCE_SECONDS = 60.0


@asynccontextmanager
async def embedded_database() -> AsyncIterator[str]:
    """Run, or join, the embedded PostgreSQL of this user, migrated; yields its address."""
    from retryd.store.schema import migrate  # noqa: PLC0415 - alembic takes long to import

    async with EmbeddedPostgres(default_directory()) as server:
        await migrate(server.dsn)
        yield server.dsn


@asynccontextmanager
async def open_database(choice: DatabaseChoice) -> AsyncIterator[str]:
    """Yield the address of the chosen database; the embedded one runs meanwhile."""
    if choice.url is not None:
        yield choice.url.get_secret_value()
        return
    async with embedded_database() as dsn:
        yield dsn


@dataclass(frozen=True, slots=True)
class Store:
    """What a person may ask of the database, and do in it."""

    pool: Pool
    reads: Reads
    operators: Operators
    intake: Intake


@asynccontextmanager
async def open_store(dsn: str) -> AsyncIterator[Store]:
    """Open the store for a person; no connection is made before the first question."""
    # As behind pgbouncer, which there may be: to find out takes a connection more.
    async with open_pool(
        dsn,
        size=1,
        application="retryd/cli",
        command_seconds=PATIENCE_SECONDS,
        pgbouncer=True,
    ) as pool:
        yield Store(pool, Reads(pool), Operators(pool), Intake(pool))
