"""Whether this code runs inside an attempt: the mark that a handler's code carries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(slots=True, eq=False)
class _Attempt:
    """Tasks that a handler leaves behind keep its context: they are told when it is over."""

    running: bool = True


_current: Final[ContextVar[_Attempt | None]] = ContextVar("retryd_attempt", default=None)


@contextmanager
def attempt() -> Iterator[None]:
    """Mark what runs within, and the tasks it starts, as an attempt."""
    current = _Attempt()
    token = _current.set(current)
    try:
        yield
    finally:
        current.running = False
        _current.reset(token)


def inside_attempt() -> bool:
    """Tell whether an attempt is running around this code: then its failure is the attempt's."""
    current = _current.get()
    return current is not None and current.running
