"""What the tests of the web ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.postgres import Database
from tests.web.serving import Served, serving


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """A server on a free port."""
    async with serving() as served:
        yield served


@pytest.fixture
async def taking(database: Database) -> AsyncIterator[Served]:
    """A server that takes events for `database`."""
    async with serving(dsn=database.dsn) as served:
        yield served
