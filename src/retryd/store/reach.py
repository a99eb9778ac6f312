"""Whether PostgreSQL answers, as everything that asks it sees: told once when that changes."""

from __future__ import annotations

import logging
import math
import time

logger = logging.getLogger("retryd.store")


class Reach:
    """What the pools of a process hear of PostgreSQL; may be read from any thread."""

    def __init__(self) -> None:
        self._answered_at = -math.inf
        self._away_since: float | None = None
        self._reason = ""

    @property
    def away_seconds(self) -> float | None:
        """For how long PostgreSQL has not answered; None while it does."""
        since = self._away_since
        return None if since is None else time.monotonic() - since

    @property
    def reason(self) -> str:
        """Why it does not answer; empty while it does."""
        return self._reason

    def answered(self) -> None:
        """Take in that a statement ended."""
        self._answered_at = time.monotonic()
        since, self._away_since, self._reason = self._away_since, None, ""
        if since is not None:
            logger.warning("database_back", extra={"seconds": round(time.monotonic() - since, 1)})

    def failed(self, reason: str) -> None:
        """Take in that PostgreSQL could not be reached."""
        if self._away_since is None:
            self._away_since = time.monotonic()
            logger.error("database_away", extra={"reason": reason})
        self._reason = reason

    def timed_out(self, reason: str, after_seconds: float) -> None:
        """Take in that a statement got no answer; whether it is away the others tell."""
        if time.monotonic() - self._answered_at > after_seconds:
            self.failed(reason)
