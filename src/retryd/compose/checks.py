"""What `retryd check` looks at, one finding after the other: settings, code, then PostgreSQL."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from retryd.compose.configuration import load_app, load_configuration, open_handlers
from retryd.compose.database import open_database
from retryd.compose.database_checks import CONFIGURATION, PROBLEM, Finding, database
from retryd.compose.serving import SERVER_REMEDY, can_serve
from retryd.domain.errors import ConfigurationError, RetrydError
from retryd.handlers.threads import Threads
from retryd.settings.database import find_database
from retryd.settings.database_url import masked_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from retryd.client.app import App
    from retryd.settings.database import DatabaseChoice
    from retryd.settings.models import Configuration

NAMED: Final = 10


async def findings(
    path: Path | None, target: str | None, url: str | None, *, embedded: bool
) -> AsyncIterator[Finding]:
    """Yield what there is to say about a worker with these options; raises nothing of ours.

    What cannot be looked at, since what it needs is wrong, is left out.
    """
    try:
        configuration = load_configuration(path, os.environ, {})
    except ConfigurationError as error:
        for problem in error.problems:
            yield Finding("configuration", problem, CONFIGURATION)
        return
    yield Finding("configuration", described(configuration))
    app = None
    if target is not None:
        try:
            app = load_app(target)
        except ConfigurationError as error:
            yield Finding("application", str(error), CONFIGURATION)
        else:
            yield Finding("application", f"{target}, {len(app.handlers)} handlers")
    for finding in handlers(configuration, app):
        yield finding
    http = configuration.http
    served = f"at {http.host}, port {http.port or 'any that is free'}"
    yield Finding("http", served if can_serve() else f"not served: {SERVER_REMEDY}")
    for directory in configuration.spool.directories:
        yield spool(directory)
    async for finding in found_in_database(configuration, app, url, embedded=embedded):
        yield finding


async def found_in_database(
    configuration: Configuration, app: App | None, url: str | None, *, embedded: bool
) -> AsyncIterator[Finding]:
    """Look at the database that is meant."""
    app_url = app.database_url if app else None
    try:
        choice = find_database(configuration, os.environ, url, embedded, app_url)
    except ConfigurationError as error:
        yield Finding("database", str(error), CONFIGURATION)
        return
    try:
        async with open_database(choice) as dsn:
            async for finding in database(dsn, choice, configuration):
                yield finding
    except RetrydError as error:
        yield Finding("database", f"{meant(choice)}: {error}", PROBLEM)


def meant(choice: DatabaseChoice) -> str:
    """Say which database is meant, and by what."""
    url = masked_url(choice.url.get_secret_value()) if choice.url else "the embedded PostgreSQL"
    return f"{url} (by {choice.way})"


def described(configuration: Configuration) -> str:
    """Say where a configuration comes from."""
    labels = {
        label: None for source in configuration.origins.sources for label in source.origins.values()
    }
    return ", ".join(labels) or "nothing is given, the defaults hold"


def spool(directory: Path) -> Finding:
    """See whether files can be made in a directory, or it can be made; changes nothing."""
    above = directory.absolute().parents
    there = next(path for path in (directory, *above) if os.access(path, os.F_OK))
    if not there.is_dir():
        wrong = f"{there} is no directory: remove it, or name another place"
    elif not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        wrong = f"this user may not write in {there}: give it the right, or name another place"
    else:
        later = "" if there == directory else ", which is made when it is needed"
        return Finding("spool", f"{directory}{later}")
    return Finding("spool", f"{directory} cannot be used: {wrong}", PROBLEM)


def handlers(configuration: Configuration, app: App | None) -> Iterator[Finding]:
    """Import the targets and look for the programs."""
    try:
        opened = open_handlers(configuration, app, Threads())
    except ConfigurationError as error:
        for problem in error.problems:
            yield Finding("handlers", problem, CONFIGURATION)
        return
    names = [handler.name for handler in opened]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    none = "none: a worker would retry nothing; --app names an application's"
    yield Finding("handlers", f"{', '.join(names[:NAMED])}{more}" or none)
