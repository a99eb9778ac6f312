"""A worker inside somebody's own process: a web application's lifespan, a notebook, a test."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from retryd.client.app import App
from retryd.compose.configuration import load_configuration, open_handlers
from retryd.compose.database import open_database
from retryd.compose.generation import begin
from retryd.compose.process import Process
from retryd.settings.database import find_database
from retryd.settings.models import Configuration


@asynccontextmanager
async def running(
    app: App, config: Configuration | Mapping[str, Any] | Path | str | None = None
) -> AsyncIterator[None]:
    """Run a worker for the handlers of `app` while the context lasts; it drains at the end.

    `config` is a configuration, a mapping with keys of `config.json`, or the path of such a file;
    variables and the choice of the database are those of `retryd run`. Signals, logs and HTTP are
    left to the process. Raises ConfigurationError, DatabaseUnavailable or SchemaOutdated before
    anything is claimed; later outages of PostgreSQL are waited out.
    """
    configuration = configuration_of(config)
    choice = find_database(configuration, os.environ, app_url=app.database_url)
    process = Process()
    handlers = open_handlers(configuration, app, process.threads)
    async with open_database(choice) as dsn:
        generation = await begin(configuration, handlers, dsn, process)
        try:
            yield
        finally:
            generation.worker.stop()
            await generation.task


def configuration_of(
    config: Configuration | Mapping[str, Any] | Path | str | None,
) -> Configuration:
    """Load what is given in one of its forms. Raises ConfigurationError."""
    match config:
        case Configuration():
            return config
        case Mapping():
            return load_configuration(None, os.environ, config)
        case _:
            return load_configuration(Path(config) if config else None, os.environ, {})
