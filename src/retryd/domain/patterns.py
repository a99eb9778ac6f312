"""Names and the patterns over them: which handler, policy and source an event type belongs to."""

from __future__ import annotations

import re
from typing import Final

from retryd.domain.errors import Refused
from retryd.domain.limits import EVENT_TYPE_LENGTH, check_event_type

__all__ = ["check_event_type", "check_pattern", "literal_length", "matches", "operation_of"]

SUFFIXES: Final = (".failed", ".error", ".timeout")
MAX_STARS: Final = 4

_PATTERN = re.compile(r"[A-Za-z0-9_.:*-]+")


def operation_of(event_type: str) -> str:
    """Name the operation that failed: the event type without one trailing suffix."""
    for suffix in SUFFIXES:
        if event_type.endswith(suffix) and event_type != suffix:
            return event_type.removesuffix(suffix)
    return event_type


def check_pattern(text: object) -> None:
    """Refuse what is no pattern: 1 to 200 characters of event types or `*`, at most four `*`."""
    if not isinstance(text, str):
        raise Refused(f"pattern is of type {type(text).__name__}: give text")
    if not 0 < len(text) <= EVENT_TYPE_LENGTH:
        raise Refused(f"pattern has {len(text)} characters: give 1 to {EVENT_TYPE_LENGTH}")
    if not _PATTERN.fullmatch(text):
        raise Refused(f"pattern {text!r} has other characters than A-Z a-z 0-9 _ . : - * in it")
    if text.count("*") > MAX_STARS:
        raise Refused(f"pattern {text!r} has more than {MAX_STARS} times `*`: use fewer")


def matches(pattern: str, subject: str) -> bool:
    """Tell whether the pattern takes the whole subject; `*` is any run of characters, also none.

    The first and the last piece are anchored, each piece between takes its leftmost place: no
    backtracking, so the time is that of a few substring searches.
    """
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == subject
    *middle, last = rest
    end = len(subject) - len(last)
    at = len(first)
    if at > end or not (subject.startswith(first) and subject.endswith(last)):
        return False
    for piece in middle:
        found = subject.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def literal_length(pattern: str) -> int:
    """Count the characters that are not `*`: of two matching patterns the longer is closer."""
    return len(pattern) - pattern.count("*")
