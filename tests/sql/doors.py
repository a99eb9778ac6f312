"""The SQL functions as the tests call them: by name, with named arguments."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from tests.postgres import Connection

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Doors:
    """The functions of the schema on one connection; with handler `work` for `work.*`."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def rows(self, function: str, **arguments: object) -> list[asyncpg.Record]:
        """Call a function and return its rows."""
        named = ", ".join(f"{name} => ${n}" for n, name in enumerate(arguments, 1))
        query = f"select * from retryd.{function}({named})"
        return await self.connection.fetch(query, *arguments.values())

    async def one(self, function: str, **arguments: object) -> Any:
        """Call a function and return the first value of its first row."""
        return (await self.rows(function, **arguments))[0][0]

    async def register(self, name: str = "work", *match: str, **arguments: object) -> bool:
        """Register a handler; it runs `<name>.*` unless patterns are given."""
        patterns = list(match or (f"{name}.*",))
        changed = await self.one("register_handler", name=name, match=patterns, **arguments)
        assert isinstance(changed, bool)
        return changed

    async def capture(self, event_type: str = "work.do.failed", **arguments: object) -> int:
        """Capture a failure that is due at once; returns the id of its first retry."""
        arguments.setdefault("not_before", LONG_AGO)
        number = await self.one("capture_failure", event_type=event_type, **arguments)
        assert isinstance(number, int)
        return number

    async def capture_all(self, *events: object) -> list[int]:
        """Capture in bulk; returns all ids."""
        return [row[0] for row in await self.rows("capture_failures", events=json.dumps(events))]

    async def acquire(self, size: int = 10, **arguments: object) -> list[asyncpg.Record]:
        """Claim for one minute, as worker `ann`."""
        arguments = {"worker": "ann", "lease": MINUTE, **arguments}
        return await self.rows("acquire_retry_batch", batch_size=size, **arguments)

    async def rescue(self, size: int = 10, **arguments: object) -> list[asyncpg.Record]:
        """Take over what lapsed, as worker `bob`."""
        arguments = {"worker": "bob", "lease": MINUTE, **arguments}
        return await self.rows("take_expired_leases", batch_size=size, **arguments)

    async def held(self, **arguments: object) -> dict[str, int]:
        """Capture and claim one retry; returns its id and token as the verbs want them."""
        number = await self.capture(**arguments)  # type: ignore[arg-type]
        (token,) = [row["claim_token"] for row in await self.acquire() if row["id"] == number]
        return {"id": number, "claim_token": token}

    async def dead(self, **arguments: object) -> int:
        """Bury a retry; returns its id."""
        claim = await self.held(**arguments)
        assert await self.one("fail_retry", **claim)
        return claim["id"]

    async def replayed(self, number: int) -> dict[str, int]:
        """Put a dead letter back and claim it."""
        assert await self.one("replay_dead_letter", id=number)
        (token,) = [row["claim_token"] for row in await self.acquire() if row["id"] == number]
        return {"id": number, "claim_token": token}

    async def row(self, view: str, number: int) -> asyncpg.Record | None:
        """Read one row of a view or table."""
        query = f"select * from retryd.{view} where id = $1"
        return await self.connection.fetchrow(query, number)

    async def places(self) -> dict[int, str]:
        """Say where each retry is; that it is in one place only is checked."""
        rows = await self.connection.fetch("select id, place from retryd.place")
        assert len({row[0] for row in rows}) == len(rows)
        return dict(map(tuple, rows))

    async def count(self, table: str) -> int:
        """Count the rows of a table."""
        counted = await self.connection.fetchval(f"select count(*) from retryd.{table}")
        assert isinstance(counted, int)
        return counted


@contextmanager
def refused(state: str, saying: str = "") -> Iterator[None]:
    """Expect a refusal with this SQLSTATE, in whose message `saying` is found."""
    with pytest.raises(asyncpg.PostgresError, match=saying or None) as caught:
        yield
    assert caught.value.sqlstate == state
