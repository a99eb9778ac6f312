"""How alembic runs: one transaction for the revisions and, at head, for every function and view of `sql/`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic import context

from retryd.store.schema import Script

if TYPE_CHECKING:
    from sqlalchemy import Connection

# Whoever asks for a table or view queues behind a migration that waits for it: better it gives up, having changed nothing.
NO_LONG_WAIT = "set local lock_timeout = '3s';"


def run(connection: Connection | None) -> None:
    """Migrate on a connection, or print the SQL."""
    context.configure(
        connection=connection,
        dialect_name=None if connection else "postgresql",
        version_table_schema="retryd",
        literal_binds=connection is None,
    )
    script = Script(context.get_context(), roles=context.config.attributes.get("roles", True))
    with context.begin_transaction():
        script.prepare()
        script.run(NO_LONG_WAIT)
        context.run_migrations(script=script)
        if context.get_revision_argument() == context.get_head_revision():
            script.apply_objects()


run(context.config.attributes.get("connection"))
