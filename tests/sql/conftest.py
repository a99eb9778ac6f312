"""What the tests of the SQL functions have in common."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    *(f"tests.sql.{name}" for name in ("comparison", "doors", "machine", "rivals"))
)

from tests.postgres import Connection  # noqa: E402
from tests.sql.doors import Doors  # noqa: E402


@pytest.fixture
async def sql(connection: Connection) -> Doors:
    """The SQL functions on a connection of the owner, with a handler `work` for `work.*`."""
    doors = Doors(connection)
    await doors.register()
    return doors
