"""The values of labels: never more than a scraper can bear."""

from __future__ import annotations

import logging
from typing import Final

ROOM: Final = 200
OTHER: Final = "other"
UNROUTED: Final = "unrouted"

logger = logging.getLogger("retryd.telemetry")


class HandlerLabels:
    """Lets the first `room` names pass; every later one is `other`."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._known: set[str] = set()
        self._overflowed = False

    def __call__(self, handler: str | None) -> str:
        """Return the label of a handler; None is that of a retry that no handler matches."""
        if handler is None:
            return UNROUTED
        if handler in self._known:
            return handler
        if len(self._known) >= self._room:
            if not self._overflowed:
                self._overflowed = True
                logger.error("labels_overflow", extra={"handlers": self._room})
            return OTHER
        self._known.add(handler)
        return handler


class PairLabels:
    """Lets the first `room` pairs of values pass; every later one is `other`, `other`."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._known: set[tuple[str, str]] = set()

    def __call__(self, first: str, second: str) -> tuple[str, str]:
        """Return the labels of a pair."""
        pair = first, second
        if pair not in self._known:
            if len(self._known) >= self._room:
                return OTHER, OTHER
            self._known.add(pair)
        return pair
