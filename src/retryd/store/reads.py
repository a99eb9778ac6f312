"""What people and gauges read: one method per file of `sql/queries`, same name."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack

from retryd.domain.json_text import read_json
from retryd.store.files import home

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    import asyncpg

    from retryd.store.pool import Pool

Row: TypeAlias = "dict[str, Any]"
"""A row by the names of its columns; JSON columns are decoded, no digit of a number is lost."""

JSON_COLUMNS = frozenset({"payload", "attributes"})
PAGE = 50
PAGE_BYTES = 1024 * 1024


class Filters(TypedDict, total=False):
    """Which dead letters are meant; None takes all, as in lists. `operation` is a pattern."""

    statuses: Sequence[str] | None
    reason: str | None
    handler: str | None
    operation: str | None


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

    async def count_dead_letters(
        self, older_than: timedelta | None = None, **filters: Unpack[Filters]
    ) -> list[Row]:
        """Count dead letters per handler, operation, status and reason, most first."""
        return await self._rows("count_dead_letters", *chosen(filters), older_than)

    async def dead_letter_ids(
        self,
        after: int = 0,
        until: datetime | None = None,
        limit: int = PAGE,
        **filters: Unpack[Filters],
    ) -> list[int]:
        """Return the ids above `after`, smallest first, of those that had died `until` then."""
        rows = await self._rows("dead_letter_ids", *chosen(filters), until, after, limit)
        return [row["id"] for row in rows]

    async def export_dead_letters(
        self,
        after: int = 0,
        until: datetime | None = None,
        limit: int = PAGE,
        **filters: Unpack[Filters],
    ) -> list[Row]:
        """Return id and line of dead letters to export, in the order of `dead_letter_ids`.

        A page ends where it has about PAGE_BYTES, with one dead letter at least.
        """
        arguments = (*chosen(filters), until, after, limit, PAGE_BYTES)
        return await self._rows("export_dead_letters", *arguments)

    async def explain_retry(self, id: int) -> list[Row]:
        """Say why a retry is not running; nothing if the id is unknown."""
        return await self._rows("explain_retry", id)

    async def timeline(self, id: int) -> list[Row]:
        """Return what happened to a retry, oldest first."""
        return await self._rows("timeline", id)

    async def retry_queue_stats(self) -> list[Row]:
        """Count live retries per operation, handler and state."""
        return await self._rows("retry_queue_stats")

    async def dead_letter_stats(self) -> list[Row]:
        """Count dead letters per operation, handler, status and reason."""
        return await self._rows("dead_letter_stats")

    async def dead_letter_depths(self) -> list[Row]:
        """Count dead letters per status."""
        return await self._rows("dead_letter_depths")

    async def handler_stats(self) -> list[Row]:
        """Return each registered handler, its retries now and its attempts of the last hour."""
        return await self._rows("handler_stats")

    async def handler_activity(self) -> list[Row]:
        """Return each handler as it is now, attempts of the last minute too; None: unrouted."""
        return await self._rows("handler_activity")

    async def workers(self) -> list[Row]:
        """Return the workers of the last day; `alive` tells who gave a sign of life just now."""
        return await self._rows("workers")

    async def policies(self) -> list[Row]:
        """Return what capture knows of each policy."""
        return await self._rows("policies")

    async def api_tokens(self, *, all: bool = False) -> list[Row]:  # noqa: A002 - as --all
        """Return the tokens that live, with `all` every one; none tells its secret."""
        return await self._rows("api_tokens", all)

    async def server(self) -> list[Row]:
        """Return one row about the server, as this user meets it; needs no schema."""
        return await self._rows("server")

    async def rights(self) -> list[Row]:
        """Return what this user may call and read in the schema, by name; needs no schema."""
        return await self._rows("rights")

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


def chosen(filters: Filters) -> tuple[object, ...]:
    """Return filters as the first four parameters of a query."""
    return (*map(filters.get, ("statuses", "reason", "handler", "operation")),)


def row_of(record: asyncpg.Record) -> Row:
    """Return a record as a mapping, its JSON decoded."""
    return {
        column: read_json(value) if column in JSON_COLUMNS else value
        for column, value in record.items()
    }
