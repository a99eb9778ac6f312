"""An attempt of kind `http`, from opening the handler to closing it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from retryd.domain.errors import DatabaseUnavailable
from retryd.domain.outcome import Outcome
from retryd.handlers import open_handler
from retryd.handlers.http import HttpHandlerSettings
from retryd.ports import OwnedHandler
from tests.unit.handlers.attempts import attempt


@dataclass(slots=True)
class Paused:
    """A worker's means, which keep what they were asked for."""

    reasons: list[tuple[str, str]] = field(default_factory=list)
    dsn: str = ""
    pooled: bool = False
    away: bool = False

    async def pause(self, handler: str, reason: str) -> None:
        """Note it, unless PostgreSQL is away."""
        if self.away:
            raise DatabaseUnavailable
        self.reasons.append((handler, reason))


@asynccontextmanager
async def opened(
    settings: HttpHandlerSettings, means: Paused | None = None
) -> AsyncIterator[OwnedHandler]:
    """Open a handler while the context lasts."""
    handler = open_handler("hook", settings)
    await handler.open(means or Paused())
    try:
        yield handler
    finally:
        await handler.close()


async def delivered(
    settings: HttpHandlerSettings, means: Paused | None = None, **changes: Any
) -> Outcome:
    """Make one attempt."""
    async with opened(settings, means) as handler:
        return await attempt(handler, **changes)
