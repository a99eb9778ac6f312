"""`POST /api/v1/events`: access, body, events, hops, capture or spool, answer."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any, Final

from fastapi import Request, Response

from retryd.domain.errors import EventConflict, Refused, RetrydError, RowLocked
from retryd.web.body import Bodies
from retryd.web.events import decode, hops_of
from retryd.web.problem import Fault, RequestRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from retryd.web.access import Access
    from retryd.web.door import Door, Taken
    from retryd.web.fields import Arrival
    from retryd.web.watermark import Watermark

MOST_HOPS: Final = 3
LARGE_BYTES: Final = 256 * 1024
FULL_SECONDS: Final = 5
AWAY_SECONDS: Final = 2
AWAY: Final = "PostgreSQL is away, and this cannot be kept until it is back: send it again later"
BLOCKED: Final = (
    "a transaction that is open has captured an event of this source and id: nothing was taken,"
    " send it again later"
)
INDEX: Final = re.compile(r"event (\d+): ")


class Ingest:
    """Answers one request after the other; `count` hears of what was taken."""

    def __init__(self, door: Door, watermark: Watermark, count: Callable[[str, str], None]) -> None:
        self._door = door
        self._watermark = watermark
        self._count = count
        self._bodies = Bodies()

    async def answer(self, request: Request, access: Access) -> Response:
        """Take the events of a request, all or none. Raises RequestRefused."""
        headers = request.headers
        async with self._bodies.of(request) as body:
            caller = access.caller_of(request, body)
            hops = hops_of(headers)
            read = asyncio.to_thread if len(body) > LARGE_BYTES else at_once
            arrivals = await read(decode, headers, body, hops, caller.webhook_id)
        taken = await self._take(arrivals, hops or 0)
        for arrival, each in zip(arrivals, taken, strict=True):
            if each.outcome != "duplicate":
                self._count(arrival.event_type, arrival.source)
        return answer_of(arrivals, taken)

    async def _take(self, arrivals: Sequence[Arrival], hops: int) -> Sequence[Taken]:
        if not (self._door.is_away or await self._watermark.has_room(len(arrivals))):
            raise RequestRefused(
                429,
                "the queue is full (http.max_queue_depth): send it again later",
                headers={"retry-after": str(FULL_SECONDS)},
            )
        try:
            if hops > MOST_HOPS:
                return await self._door.bury(arrivals)
            return await self._door.capture(arrivals)
        except EventConflict as error:
            detail = "another event has this source and id, with another type or other data"
            faults = [Fault(index, "", detail) for index in error.indexes]
            raise RequestRefused(409, "nothing was taken: see errors", faults) from error
        except Refused as error:
            place = INDEX.match(str(error))
            index = int(place[1]) if place else 0
            fault = Fault(index, "", INDEX.sub("", str(error), count=1))
            raise RequestRefused(422, "nothing was taken: see errors", [fault]) from error
        except RetrydError as error:
            detail = BLOCKED if isinstance(error, RowLocked) else AWAY
            later = {"retry-after": str(AWAY_SECONDS)}
            raise RequestRefused(503, detail, headers=later) from error


async def at_once(work: Callable[..., Any], *arguments: Any) -> Any:
    """Do work here and now."""
    return work(*arguments)


def answer_of(arrivals: Sequence[Arrival], taken: Sequence[Taken]) -> Response:
    """Say what became of each event: 201 if any is new, 202 if they are spooled, else 200."""
    outcomes = {each.outcome for each in taken}
    spooled = "spooled" in outcomes
    said = {
        "ids": [str(id) for each in taken for id in each.ids],
        "durability": "spool" if spooled else "committed",
        "events": [
            {
                "index": index,
                "event_id": arrival.event_id,
                "outcome": each.outcome,
                "ids": [str(id) for id in each.ids],
            }
            for index, (arrival, each) in enumerate(zip(arrivals, taken, strict=True))
        ],
    }
    status = 202 if spooled else 201 if outcomes - {"duplicate"} else 200
    return Response(json.dumps(said), status, media_type="application/json")
