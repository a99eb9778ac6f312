"""What takes events in asks of PostgreSQL: one method per SQL function, same name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retryd.store.pool import Pool
    from retryd.store.reads import Row


class Intake:
    """The SQL functions as a door calls them; raises what `reaching_database` says."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def capture_checked(self, events: str) -> list[Row]:
        """Capture a JSON array of events, all or none; returns index, outcome and ids of each."""
        rows = await self._pool.fetch(
            "select * from retryd.capture_checked($1::text::jsonb)", events
        )
        return [dict(row) for row in rows]
