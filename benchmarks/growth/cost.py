"""What a statement costs, and leaves as it was."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg

from benchmarks.peers.server import Connection

TIMES: Final = 5
PATIENCE_SECONDS: Final = 300
"""As long as a worker waits for its longest statement; more is told as more."""
SLOW_MS: Final = 2_000.0
"""What takes this long is measured once."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds, the median of some runs, and buffers of 8 KiB, those of the last."""

    ms: float
    buffers: int


async def cost(
    connection: Connection, statement: str, *arguments: object, before: Sequence[str] = ()
) -> Cost:
    """Run a statement some times, behind these others, and undo all of it each time."""
    runs: list[Cost] = []
    while len(runs) <= TIMES:  # plans are made in the first, which does not count
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(f"set local statement_timeout = '{PATIENCE_SECONDS}s'")
            for other in before:
                await connection.execute(other)
            explain = f"explain (analyze, buffers, timing off, format json) {statement}"
            runs.append(told(await connection.fetchval(explain, *arguments)))
        except asyncpg.QueryCanceledError:
            return Cost(PATIENCE_SECONDS * 1000, 0)
        finally:
            await transaction.rollback()
        if runs[-1].ms > SLOW_MS:
            return runs[-1]
    counted = runs[1:]
    return Cost(statistics.median(run.ms for run in counted), counted[-1].buffers)


def told(explained: str) -> Cost:
    """Read an explained plan."""
    (said,) = json.loads(explained)
    plan = said["Plan"]
    return Cost(said["Execution Time"], plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
