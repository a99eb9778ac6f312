"""What comes in: failures of all fates at a steady rate, and beside them what is never due."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import retryd
from tests.postgres import Connection
from tests.steady.plan import HANDLERS, KEYED
from tests.waiting import until

# Of each 20 fourteen succeed at once and three after two failures. One is put off, one is rejected,
# one never succeeds.
FATES = ("ok",) * 14 + ("twice",) * 3 + ("snooze", "reject", "fail")
PRIORITIES = (1, 5, 9)
KEYS = 49  # prime to the fates: each key meets all of them
TICK_SECONDS = 0.1
FAR = timedelta(days=300)
AT_ONCE = 1_000


@dataclass(slots=True)
class Traffic:
    """What was accepted: the fate of each retry by its id. It stops when `allowed` came in."""

    fates: dict[int, str] = field(default_factory=dict)
    allowed: int = 0
    over: bool = False

    async def backlog(self, connection: Connection, retries: int) -> None:
        """Capture what is never due."""
        later = await connection.fetchval("select retryd.now()") + FAR
        # Without keys: what came later would wait behind what is never due.
        never = {"not_before": later, "ordering_key": None}
        events = [event | never for event in events_of(0, retries)]
        for at in range(0, retries, AT_ONCE):
            await retryd.capture_many(connection, events[at : at + AT_ONCE])

    @property
    def passed(self) -> int:
        """How many came in."""
        return len(self.fates)

    async def flow(self, connection: Connection, rate: int) -> None:
        """Capture at this rate until it is over: each time one alone and the others together."""
        next_at = time.monotonic()
        while not self.over:
            wanted = min(int(rate * TICK_SECONDS), self.allowed - self.passed)
            if wanted > 0:
                first, *others = events_of(self.passed, wanted)
                ids = await retryd.capture(connection, **first)
                ids += await retryd.capture_many(connection, others)
                self.fates |= zip(ids, map(fate_of, [first, *others]), strict=True)
            next_at = max(next_at, time.monotonic() - TICK_SECONDS) + TICK_SECONDS
            await until(lambda at=next_at: time.monotonic() >= at)  # type: ignore[misc]


def events_of(first: int, count: int) -> Iterator[dict[str, Any]]:
    """Make these events of the stream."""
    for number in range(first, first + count):
        handler = HANDLERS[number % len(HANDLERS)]
        yield {
            "event_type": f"{handler}.run.failed",
            "payload": {
                "at": time.time(),
                "fate": FATES[number * 7 % len(FATES)],
                "pad": "x" * 165,
            },
            "priority": PRIORITIES[number // 5 % len(PRIORITIES)],
            "ordering_key": f"key-{number // len(HANDLERS) % KEYS}" if handler == KEYED else None,
            "error_type": "ConnectionError",
            "error_message": "the other side hung up",
        }


def fate_of(event: dict[str, Any]) -> str:
    """Return how the retry of an event is to end."""
    fate: str = event["payload"]["fate"]
    return fate
