"""A retry to attempt, and a look at the processes that an attempt started."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from retryd.domain.outcome import Outcome
from retryd.domain.retry import Retry
from retryd.ports import Handler
from tests.waiting import until

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LONG = 60.0


def a_retry(**changes: Any) -> Retry:
    fields: dict[str, Any] = {
        "id": 42,
        "claim_token": 7,
        "event_id": "e-1",
        "event_type": "report.daily.failed",
        "operation": "report.daily",
        "handler": "report",
        "policy": None,
        "source": "shop",
        "correlation_id": "order 7 · Zürich",
        "payload_text": '{"net": 1.10, "big": 12345678901234567890.50}',
        "attributes_text": '{"traceparent": "00-1"}',
        "error_type": "OSError",
        "error_message": "no route",
        "last_error_type": None,
        "last_error_message": None,
        "priority": 5,
        "attempt": 2,
        "lost_attempts": 0,
        "snoozes": 0,
        "max_retries": 3,
        "life": 1,
        "created_at": NOON,
        "lease_expires_at": NOON,
    }
    return Retry(**fields | changes)


async def attempt(handler: Handler, **changes: Any) -> Outcome:
    """Make one attempt."""
    return await handler.run(a_retry(**changes), LONG)


def alive(pid: int) -> bool:
    """Tell whether a process is there and has not ended; one that nobody has reaped yet has."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    try:
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def gone(*pids: int) -> None:
    """Wait until none of these processes is there."""
    assert pids
    await until(lambda: not any(map(alive, pids)))


def pids_in(path: Path, expected: int) -> list[int]:
    """Return the process ids that programs wrote, a line each; none before all have."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [int(line) for line in lines] if len(lines) == expected else []


@asynccontextmanager
async def killed_at_the_end(path: Path) -> AsyncIterator[None]:
    """Kill, at last, the processes that wrote their ids: those that left their group."""
    try:
        yield
    finally:
        for line in path.read_text().splitlines():
            if alive(int(line)):
                os.kill(int(line), 9)
