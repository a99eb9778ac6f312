"""Which revision of the schema a database has, and which ones this version of retryd knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retryd.domain.errors import SchemaOutdated
from retryd.store.files import home

if TYPE_CHECKING:
    import asyncpg


def revisions() -> list[str]:
    """Return every revision that this version knows, the newest first.

    By the names of the files, `<revision>_<what>.py`: alembic, which knows too, takes a worker
    25 MB and a third of a second.
    """
    files = (home("migrations") / "versions").glob("*_*.py")
    return sorted((path.stem.partition("_")[0] for path in files), reverse=True)


def head() -> str:
    """Return the newest revision that this version knows."""
    return revisions()[0]


async def found(connection: asyncpg.Connection[asyncpg.Record]) -> str | None:
    """Return the revision that the database has; None: it has no schema of retryd."""
    there = await connection.fetchval("select to_regclass('retryd.alembic_version') is not null")
    if not there:
        return None
    revision: str | None = await connection.fetchval(
        "select version_num from retryd.alembic_version"
    )
    return revision


async def check(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Raise SchemaOutdated unless the database has a revision that this version can work with."""
    here = await found(connection)
    if here is None:
        message = "the database has no schema of retryd: run `retryd migrate`"
        raise SchemaOutdated(message)
    if here != head() and here in revisions():
        message = f"the schema is at {here}, not {head()}: run `retryd migrate`"
        raise SchemaOutdated(message)
