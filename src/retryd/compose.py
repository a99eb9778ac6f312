"""The composition root: from configuration and code to a worker that runs."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import retryd
from retryd.client.app import App
from retryd.domain.backoff import first_delay_bounds
from retryd.domain.errors import ConfigurationError
from retryd.embedded import EmbeddedPostgres, default_directory
from retryd.handlers import HandlerSettings, open_handler
from retryd.handlers.python import PythonHandler, import_target
from retryd.settings.load import load
from retryd.settings.models import configuration_model
from retryd.store.operators import Operators
from retryd.store.pool import Pool, open_pool
from retryd.store.queue import Queue
from retryd.store.reads import Reads
from retryd.telemetry.metrics import Metrics
from retryd.worker.pruner import Retention
from retryd.worker.supervisor import Plan, Worker
from retryd.worker.until_empty import UntilEmpty

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from pathlib import Path

    from retryd.domain.policy import Policy
    from retryd.ports import Handler
    from retryd.settings.database import DatabaseChoice
    from retryd.settings.models import Configuration

SPARE_CONNECTIONS = 2


def load_configuration(
    path: Path | None, environ: Mapping[str, str], flags: Mapping[str, object]
) -> Configuration:
    """Load the configuration with the handler kinds that exist. Raises ConfigurationError."""
    return load(configuration_model(HandlerSettings), path=path, environ=environ, flags=flags)


def load_app(target: str) -> App:
    """Import the App that `--app module:app` names. Raises ConfigurationError."""
    found = import_target(target)
    if not isinstance(found, App):
        message = f"--app {target!r} is a {type(found).__name__}, not a retryd.App"
        raise ConfigurationError(message)
    return found


def open_handlers(configuration: Configuration, app: App | None) -> list[Handler]:
    """Make the handlers of configuration and app. Raises ConfigurationError with every problem."""
    handlers: dict[str, Handler] = {}
    problems: list[str] = []
    for name, settings in configuration.handlers.items():
        try:
            handlers[name] = open_handler(name, settings)
        except ConfigurationError as error:
            problems.extend(error.problems)
    policies = configuration.policies()
    for name, registration in (app.handlers if app else {}).items():
        if name in handlers:
            problems.append(f"handler {name!r} is in the configuration and in the app; rename one")
        elif registration.policy is not None and registration.policy not in policies:
            problems.append(
                f"handler {name!r} of the app: there is no policy {registration.policy!r}; "
                f"there are {', '.join(sorted(policies))}"
            )
        handlers[name] = PythonHandler(registration)
    if problems:
        raise ConfigurationError(problems)
    return list(handlers.values())


def published(policies: Iterable[Policy]) -> list[dict[str, Any]]:
    """Return what capture needs to know of each policy."""
    rows = []
    for policy in policies:
        low, high = first_delay_bounds(policy)
        rows.append(
            {
                "name": policy.name,
                "match": list(policy.match),
                "priority": policy.priority,
                "max_retries": policy.max_retries,
                "max_age_seconds": policy.max_age_seconds,
                "first_delay_low": low,
                "first_delay_high": high,
            }
        )
    return rows


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


@asynccontextmanager
async def open_store(dsn: str) -> AsyncIterator[Store]:
    """Open the store for a person; no connection is made before the first question."""
    async with open_pool(dsn, size=1, application="retryd/cli") as pool:
        yield Store(pool, Reads(pool), Operators(pool))


def listening_at(configuration: Configuration, dsn: str) -> str | None:
    """Return where the doorbell listens; nowhere behind pgbouncer, which keeps no session."""
    database = configuration.database
    if configuration.retry.listen_notify is False:
        return None
    if database.listen_url is not None:
        return database.listen_url.get_secret_value()
    return None if database.pgbouncer is True else dsn


async def run_worker(
    configuration: Configuration,
    dsn: str,
    app: App | None,
    stop: asyncio.Event,
    *,
    until_empty: bool = False,
) -> None:
    """Work until `stop` is set or, with `until_empty`, no retry of the handlers is live.

    Raises ConfigurationError, DatabaseUnavailable or SchemaOutdated before anything is claimed.
    """
    from retryd.store.schema import check  # noqa: PLC0415 - alembic takes long to import

    handlers = open_handlers(configuration, app)
    worker_id = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:12]}"
    retry, policies = configuration.retry, configuration.policies()
    size = max(configuration.database.pool_size, SPARE_CONNECTIONS)
    application, pgbouncer = f"retryd/worker/{worker_id}"[:63], configuration.database.pgbouncer
    async with open_pool(
        dsn, size=size, application=application, pgbouncer=pgbouncer is True
    ) as pool:
        async with pool.connection() as connection:
            await check(connection)
        queue = Queue(pool, worker_id)
        await queue.publish_policies(published(policies.values()))
        await queue.publish_handlers(handler.definition for handler in handlers)
        plan = Plan(
            claims=retry.enabled and bool(handlers),
            batch_size=retry.batch_size,
            worker_count=retry.worker_count,
            poll_seconds=retry.poll_interval_seconds,
            lease_seconds=retry.lease_seconds,
            shutdown_seconds=retry.shutdown_timeout_seconds,
            retention=Retention(
                retry.retention.completed_days,
                retry.retention.attempts_days,
                retry.retention.dead_letter_days,
            ),
            listen_dsn=listening_at(configuration, dsn),
            version=retryd.__version__,
        )
        worker = Worker(queue, handlers, policies.values(), Metrics(), plan)
        watch = UntilEmpty(Reads(pool), [handler.name for handler in handlers], stop)
        watching = asyncio.create_task(watch.run()) if until_empty else None
        try:
            await worker.run(stop)
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
