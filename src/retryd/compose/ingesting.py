"""The door for events: what it takes from PostgreSQL, from the disk and from the settings."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from retryd.spool.spool import Spool
from retryd.store.intake import Intake
from retryd.store.pool import open_pool
from retryd.store.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from retryd.settings.models import Configuration, SpoolSettings
    from retryd.web.access import Access
    from retryd.web.ingest import Ingest

CONNECTIONS = 4
# A client waits for the answer.
COMMAND_SECONDS = 5.0
CLOSING_SECONDS = 2.0


def ingesting(
    configuration: Configuration, dsn: str, count: Callable[[str, str], None], access: Access
) -> Callable[[], AbstractAsyncContextManager[Ingest]]:
    """Return what opens the door in the loop that calls it.

    `count` hears of what it took, `access` reads the tokens meanwhile.
    """
    from retryd.web.door import Door  # noqa: PLC0415 - needs the extra `server`
    from retryd.web.ingest import Ingest  # noqa: PLC0415 - the same
    from retryd.web.watermark import Watermark  # noqa: PLC0415 - the same

    # As behind pgbouncer unless it is known better: PostgreSQL, which would tell, may be away.
    pgbouncer = configuration.database.pgbouncer is not False

    @asynccontextmanager
    async def opened() -> AsyncIterator[Ingest]:
        async with (
            open_pool(
                dsn,
                size=CONNECTIONS,
                application="retryd/http",
                command_seconds=COMMAND_SECONDS,
                pgbouncer=pgbouncer,
                writable=True,
            ) as pool,
            access.reading(Tokens(pool)),
            spooling(configuration.spool) as spool,
        ):
            intake = Intake(pool)
            watermark = Watermark(intake, configuration.http.max_queue_depth)
            yield Ingest(Door(intake, spool), watermark, count)

    return opened


@asynccontextmanager
async def spooling(settings: SpoolSettings) -> AsyncIterator[Spool | None]:
    """Open the spool, if there is to be one, while the context lasts."""
    if settings.directory is None:
        yield None
        return
    spool = Spool(settings.directory, settings.max_bytes)
    try:
        yield spool
    finally:
        await asyncio.to_thread(spool.close, CLOSING_SECONDS)
