"""One event as it is read: each thing that it says is checked, and what is wrong is noted."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from retryd.client.event import encoded, instant
from retryd.domain.errors import Refused
from retryd.domain.limits import (
    ATTRIBUTES_BYTES,
    ERROR_MESSAGE_BYTES,
    ERROR_STACK_BYTES,
    check_event_type,
    check_key,
    check_priority,
    cut,
    encode_json,
)
from retryd.web.problem import Fault

HOPS: Final = "retryd-hops"
SHOWN_BYTES: Final = 400
TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event that came in: its name, and the JSON object that the SQL door takes."""

    event_id: str
    source: str
    event_type: str
    text: str


@dataclass(slots=True)
class Draft:
    """What the event of this index says so far, under the names of `capture_failure`.

    `hops`, where they are told, stand among its attributes.
    """

    index: int
    faults: list[Fault]
    hops: int | None = None
    found: dict[str, Any] = field(default_factory=dict)

    def take(self, name: str, value: object, pointer: str) -> None:
        """Take what stands at a pointer, or note what is wrong with it."""
        if name == "attributes" and self.hops is not None and isinstance(value, dict):
            value = {**value, HOPS: self.hops}
        try:
            self.found[name] = CHECKS[name](value)
        except Refused as refused:
            self.fault(pointer + refused.pointer, str(refused))

    def fault(self, pointer: str, detail: str) -> None:
        """Note what is wrong."""
        self.faults.append(Fault(self.index, pointer, cut(detail, SHOWN_BYTES)))

    def arrival(self) -> Arrival:
        """Return the event; one without an id gets one."""
        found = self.found
        event_id = found.setdefault("event_id", uuid.uuid4().hex)
        source = found.setdefault("source", "")
        if self.hops is not None and "attributes" not in found:
            found["attributes"] = f'{{"{HOPS}":{self.hops}}}'
        return Arrival(event_id, source, found["event_type"], encoded(found))


def moment_of(text: object) -> datetime:
    """Read a time as RFC 3339 has it. Raises Refused."""
    if isinstance(text, str) and TIME.fullmatch(text):
        try:
            return datetime.fromisoformat(text.upper())
        except ValueError:  # the thirtieth of February
            pass
    message = "is no time with its zone (RFC 3339), such as 2030-01-31T12:00:00Z"
    raise Refused(message)


def _event_type(value: object) -> object:
    check_event_type(value)
    return value


def _key(name: str, value: object) -> object:
    check_key(name, value)
    return value


def _priority(value: object) -> object:
    check_priority(value)
    return value


def _error_text(name: str, limit: int, value: object) -> str:
    if not isinstance(value, str):
        raise Refused(f"{name} is of type {type(value).__name__}: give text")
    return cut(value, limit)


def _attributes(value: object) -> str:
    if not isinstance(value, Mapping):
        message = "attributes must be an object"
        raise Refused(message)
    return encode_json("attributes", value, ATTRIBUTES_BYTES)


CHECKS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "event_type": _event_type,
    "payload": partial(encode_json, "payload"),
    "event_id": partial(_key, "event_id"),
    "source": partial(_key, "source"),
    "correlation_id": partial(_key, "correlation_id"),
    "error_type": partial(_key, "error_type"),
    "error_message": partial(_error_text, "error_message", ERROR_MESSAGE_BYTES),
    "error_stack": partial(_error_text, "error_stack", ERROR_STACK_BYTES),
    "priority": _priority,
    "ordering_key": partial(_key, "ordering_key"),
    "not_before": lambda value: instant(moment_of(value)),
    "attributes": _attributes,
}
"""What an event may say, each with what checks it and returns it as the SQL door takes it."""
