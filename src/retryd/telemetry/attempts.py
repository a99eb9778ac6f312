"""Ended attempts as lines of the log: each dead letter, and of all else no flood."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, assert_never

from retryd.domain.decision import Bury, Reschedule
from retryd.domain.outcome import Cancel, Failure, Lost, Reject, Snooze, Success

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retryd.domain.decision import Decided
    from retryd.domain.outcome import Outcome
    from retryd.ports import Buried, Depths

LINES_A_SECOND: Final = 10

logger = logging.getLogger("retryd.attempts")


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """What is told of one attempt, and of how many of them nothing was told."""

    level: int
    event: str
    counted: str


SUCCEEDED: Final = Line(logging.INFO, "attempt_succeeded", "attempts_succeeded")
FAILED: Final = Line(logging.WARNING, "attempt_failed", "attempts_failed")
LOST: Final = Line(logging.WARNING, "attempt_lost", "attempts_lost")
SNOOZED: Final = Line(logging.DEBUG, "attempt_snoozed", "attempts_snoozed")
CANCELLED: Final = Line(logging.INFO, "attempt_cancelled", "attempts_cancelled")
STALE: Final = Line(logging.INFO, "settlement_stale", "settlements_stale")
LINES: Final = (SUCCEEDED, FAILED, LOST, SNOOZED, CANCELLED, STALE)


class AttemptLines:
    """Tells ids and names, never what a handler or a payload says: that may be anything.

    Of each kind of line a handler has at most ten a second; those beyond are counted in one line
    at its end. Every dead letter has its line. Hears a worker on the loop that it runs on.
    """

    def __init__(self) -> None:
        self._met: defaultdict[tuple[Line, str], int] = defaultdict(int)
        self._timer: asyncio.TimerHandle | None = None

    def claimed(self, retries: int, seconds: float) -> None:
        """Tell nothing: what was claimed is told of when it ends."""

    def started(self, handler: str, seconds: float) -> None:
        """Tell nothing: it is told of when it ends."""

    def settled(self, decided: Sequence[Decided], results: Sequence[str]) -> None:
        """Tell how attempts ended; nothing of those that were given back."""
        for one, result in zip(decided, results, strict=True):
            if result == "stale":
                self._tell(STALE, one)
            elif result == "settled" and one.outcome is not None:
                if type(one.decision) is Bury:
                    reason = one.decision.reason
                    logger.error("retry_dead", extra={**facts_of(one), "reason": reason})
                else:
                    self._tell(line_of(one.outcome), one)

    def rescued(self, retries: int) -> None:
        """Tell that a worker was lost."""
        logger.warning("retries_rescued", extra={"retries": retries})

    def expired(self, buried: Buried) -> None:
        """Tell of a retry that died of its age."""
        logger.error(
            "retry_dead",
            extra={
                "retry": buried.id,
                "handler": buried.handler,
                "event_type": buried.event_type,
                "attempt": buried.attempt,
                "max_retries": buried.max_retries,
                "life": buried.life,
                "error_type": buried.error_type,
                "reason": "expired",
            },
        )

    def measured(self, depths: Depths | None) -> None:
        """Tell nothing: gauges do."""

    def tell_untold(self) -> None:
        """Count in a line each what was not told in this second; the next one begins."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for (line, handler), count in self._met.items():
            if count > LINES_A_SECOND:
                untold = {"handler": handler, "count": count - LINES_A_SECOND}
                logger.log(line.level, line.counted, extra=untold)
        self._met.clear()

    def _tell(self, line: Line, decided: Decided) -> None:
        key = line, decided.retry.handler
        self._met[key] = met = self._met[key] + 1
        if met <= LINES_A_SECOND:
            logger.log(line.level, line.event, extra=facts_of(decided))
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(1, self.tell_untold)


def facts_of(decided: Decided) -> dict[str, object]:
    """Return which attempt it was, what kind of error it met, and when the next one follows."""
    retry, decision = decided.retry, decided.decision
    facts: dict[str, object] = {
        "retry": retry.id,
        "handler": retry.handler,
        "event_type": retry.event_type,
        "attempt": retry.attempt,
        "max_retries": retry.max_retries,
        "life": retry.life,
    }
    if (error_type := error_type_of(decided.outcome)) is not None:
        facts["error_type"] = error_type
    if decided.seconds is not None:
        facts["seconds"] = round(decided.seconds, 3)
    if isinstance(decision, Reschedule):
        facts["next_in_seconds"] = round(decision.delay, 3)
    return facts


def error_type_of(outcome: Outcome | None) -> str | None:
    """Return the kind of error that an attempt met."""
    match outcome:
        case Failure(error_type=error_type):
            return error_type
        case Reject():
            return "Reject"
        case Lost():
            return "WorkerLost"
        case _:
            return None


def line_of(outcome: Outcome) -> Line:
    """Return what is told of an attempt that ended like this, and was not the last."""
    match outcome:
        case Success():
            return SUCCEEDED
        case Failure() | Reject():
            return FAILED
        case Lost():
            return LOST
        case Snooze():
            return SNOOZED
        case Cancel():
            return CANCELLED
        case _:
            assert_never(outcome)
