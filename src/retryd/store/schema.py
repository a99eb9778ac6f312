"""The schema: alembic for the tables, the files of `sql/` for all that is re-applied at head."""

from __future__ import annotations

import asyncio
import random
import re
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any, cast

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from retryd.domain.errors import ConfigurationError, StatementAborted
from retryd.store.errors import reaching_database
from retryd.store.files import home

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import Connection

TURNS = 5
PAUSE_SECONDS = 2.0

GRANT = re.compile(r"^grant [^;]*;\n?", re.MULTILINE)

WAIT_FOR_OTHERS = "select pg_advisory_xact_lock(hashtextextended('retryd.migrate', 7387))"

# Who only migrates may not create schemas, and `if not exists` asks for that right all the same.
MAKE_SCHEMA = """
do $$
begin
    if to_regnamespace('retryd') is null then
        create schema retryd;
    end if;
end
$$;
"""

BECOME_OWNER = """
do $$
declare
    owner text;
begin
    select n.nspowner::regrole::text into owner from pg_namespace n where n.nspname = 'retryd';
    execute 'set local role ' || owner;
end
$$;
"""


class Script:
    """SQL of a migration: run on the connection of the migration, or printed in offline mode."""

    def __init__(self, context: MigrationContext, *, roles: bool) -> None:
        self.context = context
        self.with_roles = roles

    @property
    def connection(self) -> Connection:
        """The connection of the migration; there is none in offline mode."""
        return cast("Connection", self.context.connection)

    def run(self, sql: str) -> None:
        """Run statements in the migration's transaction; several in one string are fine."""
        if self.context.as_sql:
            self.context.impl.static_output(sql)
            return
        adapted: Any = self.connection.connection.dbapi_connection
        adapted.run_async(lambda driver: driver.execute(sql))

    def roles(self, sql: str) -> None:
        """Run statements about roles and grants, unless roles are unwanted."""
        if self.with_roles:
            self.run(sql)

    def prepare(self) -> None:
        """Wait for a concurrent migration to end, make the schema, become its owner."""
        if not self.context.as_sql:
            # Through SQLAlchemy: this is what begins the transaction that all else is part of.
            self.connection.exec_driver_sql(WAIT_FOR_OTHERS)
        self.run(MAKE_SCHEMA + BECOME_OWNER)

    def apply_objects(self) -> None:
        """Replace every function and view by what `sql/` says, and make the partitions."""
        functions, views = objects("functions"), objects("views")
        names = ", ".join(f"retryd.{name}" for name in views)
        self.run(f"set local check_function_bodies = off;\ndrop view if exists {names};")
        for text in (*functions.values(), *(views[name] for name in readable_order(views))):
            self.run(text if self.with_roles else GRANT.sub("", text))
        self.run("do $$ begin perform retryd.ensure_partitions(); end $$;")


def objects(kind: str) -> dict[str, str]:
    """Return the text of each object in `sql/functions` or `sql/views` by its name, one a file."""
    paths = sorted((home("sql") / kind).glob("*.sql"))
    return {path.stem: path.read_text(encoding="utf-8") for path in paths}


def readable_order(views: dict[str, str]) -> Iterable[str]:
    """Return the names of views so that each comes after those it reads."""
    reads = {
        name: {other for other in views if other != name and re.search(rf"retryd\.{other}\b", text)}
        for name, text in views.items()
    }
    return TopologicalSorter(reads).static_order()


def configuration(*, roles: bool = True, connection: Connection | None = None) -> Config:
    """Return alembic's configuration for one run; `migrations/env.py` reads the attributes."""
    config = Config()
    config.set_main_option("script_location", str(home("migrations")))
    config.set_main_option("path_separator", "os")
    config.attributes.update(roles=roles, connection=connection)
    return config


async def migrate(dsn: str, revision: str = "head", *, roles: bool = True) -> None:
    """Bring the schema to a revision (`head`, `-1`, a name) in one transaction.

    Safe in several processes at once: they wait for one another; within one process alembic's own
    context allows a single migration at a time. A table that somebody holds is waited for in turns,
    between which workers go on. Raises DatabaseUnavailable, StatementAborted if the tables are
    never free, and ConfigurationError for a revision that is not there.
    """
    for turn in range(TURNS):
        try:
            await migrate_once(dsn, revision, roles=roles)
            return
        except asyncpg.LockNotAvailableError as error:
            if turn == TURNS - 1:
                message = (
                    "somebody holds retryd's tables, nothing was changed: end long transactions "
                    "(pg_stat_activity shows them) and run `retryd migrate` again"
                )
                raise StatementAborted(message) from error
        await asyncio.sleep(random.uniform(0, PAUSE_SECONDS))


async def migrate_once(dsn: str, revision: str, *, roles: bool) -> None:
    """Migrate, or give up when a table is held; in either case in one transaction."""
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: connect(dsn), poolclass=NullPool
    )
    down = revision.startswith("-") or revision == "base"
    move = command.downgrade if down else command.upgrade
    try:
        async with engine.connect() as connection:
            await connection.run_sync(
                lambda sync: move(configuration(roles=roles, connection=sync), revision)
            )
            await connection.commit()
    except CommandError as error:
        message = f"the schema cannot be brought to {revision}: {error}"
        raise ConfigurationError(message) from error
    finally:
        await engine.dispose()


async def connect(dsn: str) -> asyncpg.Connection[asyncpg.Record]:
    """Open the connection of a migration."""
    with reaching_database():
        return await asyncpg.connect(
            dsn, timeout=10, server_settings={"application_name": "retryd/migrate"}
        )


def offline_sql(*, roles: bool = True) -> None:
    """Print the whole way to head as one SQL script."""
    command.upgrade(configuration(roles=roles), "head", sql=True)
