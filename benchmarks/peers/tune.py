"""`--tune`: drain once with each of a peer's candidates, to see that the first is the best."""

from __future__ import annotations

import json
from collections.abc import Sequence

from benchmarks.peers.contest import Contest
from benchmarks.peers.drains import drained, prepared


async def tune(contests: Sequence[Contest]) -> None:
    """Print a line per candidate."""
    for contest in contests:
        for settings in contest.described["candidates"]:
            async with contest.database() as dsn:
                items = contest.items // 2
                await prepared(contest, dsn, items)
                figures = await drained(contest, dsn, items, settings=settings)
            print(
                f"{contest.contender.name:<16} {figures['rate']:>9,.0f}/s  {json.dumps(settings)}"
            )
