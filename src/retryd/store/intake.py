"""What a door for events asks of PostgreSQL: one method per SQL function, same name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from retryd.domain.errors import EventConflict

if TYPE_CHECKING:
    from retryd.store.pool import Pool
    from retryd.store.reads import Row

# Each sets the limit for its own transaction, before anything is locked: behind pgbouncer there is
# no session to set it for.
CHECKED: Final = """
    select c.*
    from (select set_config('lock_timeout', $2, true)) l (held)
    cross join lateral retryd.capture_checked(
        case when l.held is not null then $1::text::jsonb end) c
"""
DEAD: Final = """
    select retryd.capture_dead(e.event, $3)
    from (select set_config('lock_timeout', $2, true)) l (held)
    cross join lateral jsonb_array_elements(case when l.held is not null then $1::text::jsonb end)
        with ordinality e (event, n)
    order by e.n
"""
LOCK_SECONDS: Final = 1.0
"""How long somebody's open transaction, which may have captured the same event, is waited for."""


class Intake:
    """The SQL functions as a door calls them; raises what `reaching_database` says.

    No lock is waited for longer than `lock_seconds`: raises RowLocked, and nothing was stored.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def capture_checked(
        self, events: str, *, whole: bool = False, lock_seconds: float = LOCK_SECONDS
    ) -> list[Row]:
        """Capture a JSON array of events; returns index, outcome and ids of each, in their order.

        Nothing is stored for a conflict. If the array is to be taken as a `whole`, nothing is
        stored for any of it then: raises EventConflict.
        """
        limit = milliseconds(lock_seconds)
        async with self._pool.connection() as connection:
            if not whole:
                return [dict(row) for row in await connection.fetch(CHECKED, events, limit)]
            async with connection.transaction():
                taken = [dict(row) for row in await connection.fetch(CHECKED, events, limit)]
                conflicts = [row["index"] for row in taken if row["outcome"] == "conflict"]
                if conflicts:
                    raise EventConflict(conflicts)  # and the transaction is undone
                return taken

    async def capture_dead(self, events: str, reason: str) -> list[int]:
        """Put all of a JSON array of events straight among the dead letters; returns their ids."""
        limit = milliseconds(LOCK_SECONDS)
        return [row[0] for row in await self._pool.fetch(DEAD, events, limit, reason)]

    async def queue_depth(self, at_most: int) -> int:
        """Count the live retries, but no further than this."""
        return int(await self._pool.fetchval("select retryd.queue_depth($1)", at_most))


def milliseconds(seconds: float) -> str:
    """Write a time as PostgreSQL's settings take it."""
    return f"{seconds * 1000:.0f}ms"
