"""A connection of retryd's own, for what fails where the application has none at hand."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from retryd.client.connections import ask
from retryd.client.driver_errors import own_errors
from retryd.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from retryd.client.calls import Call

CONNECT_SECONDS: Final = 5.0
COMMAND_SECONDS: Final = 5.0
DURABLY: Final = """
    select set_config('synchronous_commit', 'on', true)
    where current_setting('synchronous_commit') = 'off'
"""


async def ask_alone(call: Call, app_url: str | None) -> list[int]:
    """Run the call on a connection made for it, and commit.

    The database is the one that RETRYD_… and the other variables name, else `app_url`. Each step
    takes 5 s at most. What is committed is on the disk, however the role is set. Raises
    ConfigurationError, Refused, and what asyncpg raises.
    """
    import asyncpg  # noqa: PLC0415 - `import retryd` brings no driver
    from asyncpg.connect_utils import SessionAttribute  # noqa: PLC0415 - (the same)

    connection = await asyncpg.connect(
        find_url(os.environ, app_url),
        timeout=CONNECT_SECONDS,
        command_timeout=COMMAND_SECONDS,
        statement_cache_size=0,
        target_session_attrs=SessionAttribute.read_write,
        server_settings={"application_name": "retryd/resilient"},
    )
    try:
        async with connection.transaction():  # pgbouncer then stays with one server connection
            await connection.execute(DURABLY)
            with own_errors():
                return await ask(connection, call)
    finally:
        with suppress(Exception):  # whatever comes now, the event is committed or it is not
            await connection.close(timeout=CONNECT_SECONDS)


def find_url(environ: Mapping[str, str], app_url: str | None) -> str:
    """Find the database as a worker does, whatever else is wrong in the configuration.

    RETRYD_DATABASE_URL comes before the file, which is then not read: one that is missing stops no
    capture. Without that variable it does, since the file could name another database, the one
    where workers look. Raises ConfigurationError for that, if no database is named, and if only the
    embedded one is, which is the worker's.
    """
    # pydantic is heavy, and only this needs it.
    from retryd.settings.database import find_database  # noqa: PLC0415
    from retryd.settings.models import Configuration, DatabaseSettings  # noqa: PLC0415
    from retryd.settings.sources import environment_source, file_source, merge  # noqa: PLC0415

    first = environ.get("RETRYD_DATABASE_URL")
    document = {} if first else merge((environment_source(environ), file_source(None, environ)))
    try:
        database = DatabaseSettings.model_validate(
            document.get("database", {}), context={"environ": environ}
        )
    except ValueError:  # its text could show a password
        message = "the block `database` of the configuration is wrong: `retryd check` says where"
        raise ConfigurationError(message) from None
    url = find_database(Configuration(database=database), environ, app_url=app_url).url
    if url is None:
        message = "the embedded PostgreSQL is the worker's own: set RETRYD_DATABASE_URL to a server"
        raise ConfigurationError(message)
    return url.get_secret_value()
