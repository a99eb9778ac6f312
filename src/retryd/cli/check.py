"""`retryd check`: is all there that a worker needs, and what counts of the configuration."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retryd.cli import output
from retryd.cli.database import Database
from retryd.cli.options import Config, DatabaseUrl, Embedded, Json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from retryd.compose.database_checks import Finding

# ruff: noqa: PLC0415 - drivers and models take longer to import than `retryd --help` may


def check(
    *,
    app: Annotated[
        str | None,
        typer.Option(metavar="MODULE:NAME", help="The retryd.App that `run` is to serve."),
    ] = None,
    print_config: Annotated[
        bool,
        typer.Option("--print-config", help="Print what counts, and where each value is given."),
    ] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of config.json, for editors.")
    ] = False,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> int:
    """Find out what would keep a worker from working.

    Looks at the configuration, the application, its handlers, PostgreSQL, the schema and the
    rights in it. One line each; exit status 1 when something is wrong, 2 when the configuration is.
    """
    sys.path.insert(0, str(Path.cwd()))
    if schema:
        print_schema()
        return 0
    if print_config:
        print_configuration(Database(config, database_url, embedded), app, as_json=json_)
        return 0
    from retryd.compose.checks import findings

    found = findings(config, app, database_url, embedded=embedded)
    told = asyncio.run(tell(found, quiet=json_))
    status = max(finding.status for finding in told)
    if json_:
        checks = [
            {"check": each.check, "ok": not each.status, "detail": each.detail} for each in told
        ]
        output.print_json({"ok": not status, "checks": checks})
    return status


async def tell(findings: AsyncIterator[Finding], *, quiet: bool) -> list[Finding]:
    """Print each finding as soon as it is there, unless quiet; returns them all."""
    told = []
    async for finding in findings:
        told.append(finding)
        if not quiet:
            word, style = ("problem", "red") if finding.status else ("ok", "green")
            output.print_text(f"{word:<7}  {finding.check:<13}  {finding.detail}", style)
    return told


def print_schema() -> None:
    """Print the JSON schema."""
    from retryd.compose import configuration_schema

    typer.echo(output.pretty(configuration_schema()))


def print_configuration(options: Database, target: str | None, *, as_json: bool) -> None:
    """Print the configuration as it counts. Raises ConfigurationError."""
    from retryd.compose import load_app, load_configuration
    from retryd.settings.database import NoDatabaseNamed, find_database
    from retryd.settings.effective import effective, nested

    app_url = load_app(target).database_url if target is not None else None
    configuration = load_configuration(options.config, os.environ, {})
    try:
        choice = find_database(configuration, os.environ, options.url, options.embedded, app_url)
    except NoDatabaseNamed:
        choice = None
    settings = list(effective(configuration, choice))
    if as_json:
        origins = {".".join(each.path): each.origin for each in settings}
        output.print_json({"configuration": nested(settings), "origins": origins})
        return
    rows = [(".".join(each.path), json.dumps(each.value), each.origin) for each in settings]
    output.print_table(("key", "value", "given by"), rows)
