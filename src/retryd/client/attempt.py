"""Whether this code runs inside an attempt: the mark that a handler's code carries."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final


class Attempt:
    """Marks what runs within, and the tasks it starts, as an attempt.

    Tasks that a handler leaves behind keep its context: they are told when it is over.
    """

    __slots__ = ("_token", "running")

    def __enter__(self) -> None:
        self.running = True
        self._token = _current.set(self)

    def __exit__(self, *_: object) -> None:
        self.running = False
        _current.reset(self._token)


_current: Final[ContextVar[Attempt | None]] = ContextVar("retryd_attempt", default=None)


def inside_attempt() -> bool:
    """Tell whether an attempt is running around this code: then its failure is the attempt's."""
    current = _current.get()
    return current is not None and current.running
