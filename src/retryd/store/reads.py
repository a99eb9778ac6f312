"""What people and gauges read: one method per file of `sql/queries`, same name."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from retryd.store.files import home

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from retryd.store.pool import Pool

Row: TypeAlias = "dict[str, Any]"
"""A row by the names of its columns; JSON columns are decoded."""

JSON_COLUMNS = frozenset({"payload", "attributes"})
PAGE = 50


class Reads:
    """The read side; needs the role `retryd_reader` and nothing more.

    Lists come newest first, one page at a time: `before` is the last id of the page in hand. A
    filter that is None takes all. Raises what `reaching_database` says.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def any_live(self, handlers: Sequence[str]) -> bool:
        """Tell whether a retry of one of these handlers is live, due or not."""
        return bool(await self._pool.fetchval(text_of("any_live"), handlers))

    async def list_retries(
        self,
        *,
        place: str | None = None,
        state: str | None = None,
        handler: str | None = None,
        operation: str | None = None,
        before: int | None = None,
        limit: int = PAGE,
    ) -> list[Row]:
        """Return live and done retries; `operation` is a pattern."""
        return await self._rows("list_retries", place, state, handler, operation, before, limit)

    async def find_retry(self, id: int) -> Row | None:
        """Return a retry wherever it is, live, done or dead; None if nothing of it is kept."""
        return await self._row("find_retry", id)

    async def list_dead_letters(
        self,
        *,
        statuses: Sequence[str] | None = None,
        reason: str | None = None,
        handler: str | None = None,
        operation: str | None = None,
        before: int | None = None,
        limit: int = PAGE,
    ) -> list[Row]:
        """Return dead letters; `operation` is a pattern."""
        return await self._rows(
            "list_dead_letters", statuses, reason, handler, operation, before, limit
        )

    async def find_dead_letter(self, id: int) -> Row | None:
        """Return the case file of a retry; None if it never died."""
        return await self._row("find_dead_letter", id)

    async def timeline(self, id: int) -> list[Row]:
        """Return what happened to a retry, oldest first."""
        return await self._rows("timeline", id)

    async def retry_queue_stats(self) -> list[Row]:
        """Count live retries per operation, handler and state."""
        return await self._rows("retry_queue_stats")

    async def dead_letter_stats(self) -> list[Row]:
        """Count dead letters per operation, handler, status and reason."""
        return await self._rows("dead_letter_stats")

    async def handler_stats(self) -> list[Row]:
        """Return each registered handler, its retries now and its attempts of the last hour."""
        return await self._rows("handler_stats")

    async def retry_queue_alerts(self) -> list[Row]:
        """Return what a person should look at now, worst first."""
        return await self._rows("retry_queue_alerts")

    async def _rows(self, name: str, *arguments: object) -> list[Row]:
        return [row_of(record) for record in await self._pool.fetch(text_of(name), *arguments)]

    async def _row(self, name: str, *arguments: object) -> Row | None:
        return next(iter(await self._rows(name, *arguments)), None)


@cache
def text_of(name: str) -> str:
    """Return the statement in `sql/queries/<name>.sql`."""
    return (home("sql") / "queries" / f"{name}.sql").read_text(encoding="utf-8")


def row_of(record: asyncpg.Record) -> Row:
    """Return a record as a mapping, its JSON decoded."""
    return {
        column: json.loads(value) if column in JSON_COLUMNS else value
        for column, value in record.items()
    }
