"""`retryd migrate`: the schema, to the newest revision, one step down, or printed as SQL."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from retryd.cli.database import Database
from retryd.cli.options import Config, DatabaseUrl, Embedded


def migrate(
    revision: Annotated[
        str,
        typer.Argument(
            metavar="REVISION", help="A revision, head, base, or down: one step.", show_default=True
        ),
    ] = "head",
    *,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the SQL from nothing to head, and do nothing.")
    ] = False,
    no_roles: Annotated[
        bool,
        typer.Option("--no-roles", help="Without roles and grants, for servers that manage them."),
    ] = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """Bring the schema to a revision.

    Safe when several start at once: they wait for one another.
    """
    from retryd import compose  # noqa: PLC0415 - they take longer to import than `--help` may
    from retryd.store import revisions, schema  # noqa: PLC0415

    if sql:
        if revision != "head":
            message = "--sql prints the way to head only; leave the revision out"
            raise typer.BadParameter(message)
        schema.offline_sql(roles=not no_roles)
        return
    known = {"head", "base", "down", *revisions.revisions()}
    if revision not in known:
        message = f"there is no revision {revision!r}; there are {', '.join(sorted(known))}"
        raise typer.BadParameter(message)
    _, choice = Database(config, database_url, embedded).find()

    async def move() -> None:
        async with compose.open_database(choice) as dsn:
            await schema.migrate(dsn, "-1" if revision == "down" else revision, roles=not no_roles)

    asyncio.run(move())
    reached = {
        "head": f"at {revisions.head()}",
        "base": "empty: what was in it is gone",
        "down": "one revision lower",
    }
    typer.echo(f"the schema is {reached.get(revision, f'at {revision}')}")
