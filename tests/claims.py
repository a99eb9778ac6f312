"""A claim as retryd's own worker makes it, as text to be explained."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

HANDLER, PRIORITY, SINCE, AFTER = range(4)


async def lanes_of(
    connection: asyncpg.Connection[asyncpg.Record], names: Sequence[str]
) -> list[asyncpg.Record]:
    """Return what a look finds due for these handlers."""
    query = "select * from retryd.look_ahead('ann', $1) where due_in <= 0"
    return await connection.fetch(query, names)


def claim_of(lanes: Sequence[asyncpg.Record]) -> str:
    """Return the claim of 20 that follows the look."""

    def column(number: int, kind: str) -> str:
        values = ", ".join(f"'{lane[number]}'" for lane in lanes)
        return f"array[{values}]::{kind}[]"

    columns = (
        column(HANDLER, "text"),
        column(PRIORITY, "int"),
        column(SINCE, "timestamptz"),
        column(AFTER, "bigint"),
    )
    return f"select * from retryd.claim_retries('ann', 20, '1 min', {', '.join(columns)})"
