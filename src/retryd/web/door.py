"""Where events go that came in: to PostgreSQL, or to the spool while that is away."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from retryd.domain.errors import (
    DatabaseUnavailable,
    EventConflict,
    RowLocked,
    SpoolUnavailable,
    StatementAborted,
)
from retryd.web.gatherer import Gatherer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retryd.ports import Overflow
    from retryd.store.intake import Intake
    from retryd.store.reads import Row
    from retryd.web.fields import Arrival

AWAY_SECONDS: Final = 1.0

logger = logging.getLogger("retryd.web")


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of an event: `new`, `duplicate`, `loop` or `spooled`, and its ids."""

    outcome: str
    ids: Sequence[int] = ()


class Door:
    """Takes events, all of a request or none.

    Once PostgreSQL has not answered, it is not asked again for a second: what comes meanwhile does
    not wait for the next one to find out.
    """

    def __init__(self, intake: Intake, overflow: Overflow | None) -> None:
        self._intake = intake
        self._gatherer = Gatherer(intake)
        self._overflow = overflow
        self._away_until = 0.0
        self._reason = ""  # no exception: its traceback would hold what was to be captured
        self._told = ""

    async def capture(self, arrivals: Sequence[Arrival]) -> list[Taken]:
        """Capture events. Raises EventConflict, Refused, DatabaseUnavailable, SpoolUnavailable.

        What has got no answer from PostgreSQL is spooled too: should it have been captured, the
        record is a duplicate of it. What somebody's open transaction blocks is not (RowLocked): a
        moment later it is a duplicate or in conflict, and a spool would stop at it until then.
        """
        try:
            taken = await self._captured(arrivals)
        except RowLocked:
            raise
        except DatabaseUnavailable as error:
            if self._overflow is None:
                self._tell("events_refused", error)
                raise
            return await self._spooled(self._overflow, arrivals, error)
        self._tell("")
        return taken

    async def bury(self, arrivals: Sequence[Arrival]) -> list[Taken]:
        """Put events that go round and round among the dead letters. Raises as `capture` does.

        They are not spooled: what comes out of the spool is captured.
        """
        self._check_away()
        try:
            ids = await self._intake.capture_dead(array(arrivals), "loop")
        except DatabaseUnavailable as error:
            self._note(error)
            raise
        return [Taken("loop", (id,)) for id in ids]

    async def _captured(self, arrivals: Sequence[Arrival]) -> list[Taken]:
        self._check_away()
        try:
            rows = await self._rows(arrivals)
        except DatabaseUnavailable as error:
            self._note(error)
            raise
        return [Taken(row["outcome"], row["ids"]) for row in rows]

    async def _rows(self, arrivals: Sequence[Arrival]) -> list[Row]:
        if len(arrivals) != 1:
            return await self._intake.capture_checked(array(arrivals), whole=True)
        row = await self._gatherer.capture(arrivals[0].text)
        if row["outcome"] == "conflict":  # and nothing was stored for it
            raise EventConflict([0])
        return [row]

    async def _spooled(
        self, overflow: Overflow, arrivals: Sequence[Arrival], away: DatabaseUnavailable
    ) -> list[Taken]:
        try:
            await asyncio.wrap_future(overflow.append(*(each.text.encode() for each in arrivals)))
        except SpoolUnavailable as error:
            self._tell("events_refused", error)
            raise
        self._tell("events_spooled", away)
        return [Taken("spooled")] * len(arrivals)

    def _tell(self, event: str, reason: BaseException | None = None) -> None:
        """Log where events go now, once for each change."""
        if event == self._told:
            return
        self._told = event
        match event:
            case "events_spooled":
                logger.warning("events_spooled", extra={"reason": str(reason)})
            case "events_refused":
                logger.error("events_refused", extra={"reason": str(reason)})
            case _:
                logger.warning("events_captured_again")

    @property
    def is_away(self) -> bool:
        """Whether PostgreSQL has not answered a moment ago."""
        return time.monotonic() < self._away_until

    def _check_away(self) -> None:
        if self.is_away:
            raise DatabaseUnavailable(self._reason)

    def _note(self, error: DatabaseUnavailable) -> None:
        if not isinstance(error, StatementAborted):  # else it answered
            self._reason, self._away_until = str(error), time.monotonic() + AWAY_SECONDS


def array(arrivals: Sequence[Arrival]) -> str:
    """Write events as the JSON array that the SQL door takes."""
    return f"[{','.join(each.text for each in arrivals)}]"
