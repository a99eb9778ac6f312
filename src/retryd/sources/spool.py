"""Spools as a source: what was kept on the local disk is captured once PostgreSQL is back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from retryd.client.halves import by_halves
from retryd.domain.errors import Refused, StatementAborted
from retryd.domain.json_text import read_json
from retryd.service import Service
from retryd.spool.drain import aside, drain
from retryd.spool.segments import segments

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from retryd.store.intake import Intake

BUSY_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 5.0
CONFLICT: Final = "conflict: an event with this source and event_id and another content is there"
OF_THE_CONTENT: Final = ("RT4", "22", "54")
"""SQLSTATEs that a record brings upon itself: refused, no value, too large or nested too deep."""


class SpoolDrainer(Service):
    """Any worker drains for all: a segment that another one drains is left to it."""

    def __init__(self, directory: Path, intake: Intake) -> None:
        super().__init__()
        self._directory = directory
        self._take = partial(take, intake)

    @override
    async def step(self) -> float:
        """Drain all that is there."""
        await drain(self._directory, self._take)
        left = await aside(segments, self._directory)
        return BUSY_SECONDS if left else IDLE_SECONDS


async def take(intake: Intake, records: Sequence[bytes]) -> list[str | None]:
    """Capture records; returns why one is refused, None for each that is captured, or was before.

    Raises DatabaseUnavailable.
    """
    reasons = [problem_of(record) for record in records]
    sound = [record.decode() for record, reason in zip(records, reasons, strict=True) if not reason]
    told = iter(await by_halves(partial(capture, intake), sound, (Refused, StatementAborted)))
    return [reason or next(told) for reason in reasons]


def problem_of(record: bytes) -> str | None:
    """Return why a record cannot be captured, as far as that can be told without PostgreSQL."""
    try:
        event = read_json(record.decode())
    except ValueError as error:
        return f"it is no JSON: {error}"
    if not isinstance(event, dict):
        return "it is no object with the keys of capture_failure"
    if not event.get("event_id"):
        return "it has no event_id: captured a second time it would be a second event"
    return None


async def capture(intake: Intake, events: Sequence[str]) -> list[str | None]:
    """Capture events at once; returns why one is refused, if it is the only one or in conflict."""
    try:
        rows = await intake.capture_checked(f"[{','.join(events)}]")
    except Refused as refused:
        if len(events) > 1 or not refused.sqlstate.startswith(OF_THE_CONTENT):
            raise
        return [str(refused).removeprefix("event 0: ")]
    return [CONFLICT if row["outcome"] == "conflict" else None for row in rows]
