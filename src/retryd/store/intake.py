"""What a door for events asks of PostgreSQL: one method per SQL function, same name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retryd.domain.errors import EventConflict

if TYPE_CHECKING:
    from retryd.store.pool import Pool
    from retryd.store.reads import Row

CHECKED = "select * from retryd.capture_checked($1::text::jsonb)"
DEAD = (
    "select retryd.capture_dead(e.event, $2)"
    " from jsonb_array_elements($1::text::jsonb) with ordinality e (event, n) order by e.n"
)


class Intake:
    """The SQL functions as a door calls them; raises what `reaching_database` says."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def capture_checked(self, events: str, *, whole: bool = False) -> list[Row]:
        """Capture a JSON array of events; returns index, outcome and ids of each, in their order.

        Nothing is stored for a conflict. If the array is to be taken as a `whole`, nothing is
        stored for any of it then: raises EventConflict.
        """
        async with self._pool.connection() as connection:
            if not whole:
                return [dict(row) for row in await connection.fetch(CHECKED, events)]
            async with connection.transaction():
                taken = [dict(row) for row in await connection.fetch(CHECKED, events)]
                conflicts = [row["index"] for row in taken if row["outcome"] == "conflict"]
                if conflicts:
                    raise EventConflict(conflicts)  # and the transaction is undone
                return taken

    async def capture_dead(self, events: str, reason: str) -> list[int]:
        """Put all of a JSON array of events straight among the dead letters; returns their ids."""
        return [row[0] for row in await self._pool.fetch(DEAD, events, reason)]

    async def queue_depth(self, at_most: int) -> int:
        """Count the live retries, but no further than this."""
        return int(await self._pool.fetchval("select retryd.queue_depth($1)", at_most))
