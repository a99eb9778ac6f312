"""A failure event as its producer describes it: checked before anything is sent, and encoded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from types import MappingProxyType
from typing import Any, Final, TypedDict

from retryd.client.trace import current_trace
from retryd.domain.errors import Refused
from retryd.domain.json_text import encode_plain
from retryd.domain.limits import (
    ATTRIBUTES_BYTES,
    CAPTURE_EVENTS,
    ERROR_MESSAGE_BYTES,
    ERROR_STACK_BYTES,
    check_event_type,
    check_key,
    check_priority,
    cut,
    encode_json,
)
from retryd.domain.outcome import failure_of


class Details(TypedDict, total=False):
    """What an event may say beside its type and payload; None is the same as nothing.

    `error` fills error_type, error_message and error_stack where these are not given.
    """

    error: BaseException | None
    event_id: str | None
    source: str | None
    correlation_id: str | None
    error_type: str | None
    error_message: str | None
    error_stack: str | None
    priority: int | None
    ordering_key: str | None
    not_before: datetime | None
    attributes: Mapping[str, Any] | None


KEYS: Final = ("event_id", "source", "correlation_id", "error_type", "ordering_key")
BODY: Final = frozenset({"event_type", "payload"})
NAMES: Final = BODY | Details.__annotations__.keys()
JSON: Final = frozenset({"payload", "attributes"})
ERROR: Final = frozenset({"error", "error_type", "error_message", "error_stack"})
NOTHING: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "event_type": None,
        "payload": "{}",
        "event_id": None,
        "source": None,
        "correlation_id": None,
        "error_type": None,
        "error_message": None,
        "error_stack": None,
        "priority": None,
        "ordering_key": None,
        "not_before": None,
        "attributes": "{}",
    }
)


def encode_batch(events: Iterable[Mapping[str, Any]]) -> str:
    """Return the JSON array that `capture_failures` takes. Raises Refused with the index."""
    batch = list(islice(events, CAPTURE_EVENTS + 1))
    if len(batch) > CAPTURE_EVENTS:
        message = f"more than {CAPTURE_EVENTS} events in one call: split them"
        raise Refused(message)
    texts = []
    for index, event in enumerate(batch):
        try:
            texts.append(encoded(said(event)))
        except Refused as refused:
            message = f"event {index}: {refused}"
            raise Refused(message, refused.sqlstate) from refused
    return f"[{','.join(texts)}]"


def encoded(event: Mapping[str, Any]) -> str:
    """Return what an event says as a JSON object; payload and attributes are JSON text already."""
    members = [
        f'"{key}":{value if key in JSON else encode_plain(value)}' for key, value in event.items()
    ]
    return f"{{{','.join(members)}}}"


def checked(event: object) -> dict[str, Any]:
    """Return all arguments of `capture_failure` in their order, checked. Raises Refused."""
    return {**NOTHING, **said(event)}


def said(event: object) -> dict[str, Any]:
    """Return the arguments of `capture_failure` that an event gives, checked. Raises Refused.

    The others have their defaults: each that is sent costs on both sides.
    """
    if not isinstance(event, Mapping):
        message = f"an event is a mapping, not of type {type(event).__name__}"
        raise Refused(message)
    if not event.keys() <= NAMES:
        unknown = next(key for key in event if key not in NAMES)
        message = f"unknown key {unknown!r}; an event has {', '.join(sorted(NAMES))}"
        raise Refused(message)
    event_type, payload = event.get("event_type"), event.get("payload")
    check_event_type(event_type)
    found = {"event_type": event_type}
    if payload is not None:
        found["payload"] = encode_json("payload", payload)
    details = {key: event[key] for key in event if key not in BODY and event[key] is not None}
    if details:
        found |= said_beside(details)
    attributes = attributes_text(details.get("attributes"))
    if attributes != "{}":
        found["attributes"] = attributes
    return found


def said_beside(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return details of an event that are given, but its attributes, checked. Raises Refused."""
    found = {key: details[key] for key in KEYS if key in details}
    if not ERROR.isdisjoint(details):
        found |= error_texts(details)
    for key in KEYS:
        if key in found:
            check_key(key, found[key])
    if "priority" in details:
        check_priority(details["priority"])
        found["priority"] = details["priority"]
    if "not_before" in details:
        found["not_before"] = instant(details["not_before"])
    return found


def attributes_text(attributes: object) -> str:
    """Return attributes as JSON, with the trace that is current, unless they name one."""
    if not isinstance(attributes, Mapping | None):
        message = "attributes must be a mapping"
        raise Refused(message)
    told = dict(attributes or {})
    trace = {} if "traceparent" in told else current_trace()
    if trace:
        with suppress(Refused):  # there may be room for what is told, and no more
            return encode_json("attributes", {**trace, **told}, ATTRIBUTES_BYTES)
    return encode_json("attributes", told, ATTRIBUTES_BYTES) if told else "{}"


def error_texts(event: Mapping[str, Any]) -> dict[str, str]:
    """Return type, message and stack of the error: what is given, else what the exception says."""
    for key in ("error_message", "error_stack"):
        if not isinstance(event.get(key), str | None):
            raise Refused(f"{key} is of type {type(event[key]).__name__}: give text")
    error = event.get("error")
    if not isinstance(error, BaseException | None):
        raise Refused(f"error is of type {type(error).__name__}: give an exception")
    kind, message, stack = (event.get(f"error_{part}") for part in ("type", "message", "stack"))
    if error is not None:
        found = failure_of(error)
        kind = found.error_type if kind is None else kind
        message = found.message if message is None else message
        stack = found.stack if stack is None else stack
    texts = {
        "error_type": kind,
        "error_message": None if message is None else cut(message, ERROR_MESSAGE_BYTES),
        "error_stack": None if stack is None else cut(stack, ERROR_STACK_BYTES),
    }
    return {key: text for key, text in texts.items() if text is not None}


def instant(value: object) -> str:
    """Return a time with its zone as text in UTC. Raises Refused for any other value."""
    if not isinstance(value, datetime) or value.utcoffset() is None:
        message = "not_before must be a datetime with a time zone, such as datetime.now(UTC)"
        raise Refused(message)
    try:
        return value.astimezone(UTC).isoformat()
    except OverflowError as error:
        message = "not_before is out of range: give a time in the years 1 to 9999 of UTC"
        raise Refused(message) from error
