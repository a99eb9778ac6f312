"""A failure event as its producer describes it: checked before anything is sent, and encoded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final, TypedDict

from retryd.client.trace import current_trace
from retryd.domain.errors import Refused
from retryd.domain.limits import (
    ATTRIBUTES_BYTES,
    CAPTURE_EVENTS,
    ERROR_MESSAGE_BYTES,
    ERROR_STACK_BYTES,
    PAYLOAD_BYTES,
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
ARGUMENTS: Final = {"event_type", "payload", *Details.__annotations__}


def encode_batch(events: Iterable[Mapping[str, Any]]) -> str:
    """Return the JSON array that `capture_failures` takes. Raises Refused with the index."""
    batch = list(islice(events, CAPTURE_EVENTS + 1))
    if len(batch) > CAPTURE_EVENTS:
        message = f"more than {CAPTURE_EVENTS} events in one call: split them"
        raise Refused(message)
    texts = []
    for index, event in enumerate(batch):
        try:
            texts.append(encoded(checked(event)))
        except Refused as refused:
            message = f"event {index}: {refused}"
            raise Refused(message, refused.sqlstate) from refused
    return f"[{','.join(texts)}]"


def encoded(event: Mapping[str, Any]) -> str:
    """Return a checked event as a JSON object; payload and attributes are JSON text already."""
    members = []
    for key, value in event.items():
        if value is None:
            continue
        ready = key in {"payload", "attributes"}
        text = value if ready else encode_json(key, value, PAYLOAD_BYTES, 1)
        members.append(f'"{key}":{text}')
    return f"{{{','.join(members)}}}"


def checked(event: object) -> dict[str, Any]:
    """Return the arguments of `capture_failure` in their order, checked. Raises Refused."""
    if not isinstance(event, Mapping):
        message = f"an event is a mapping, not of type {type(event).__name__}"
        raise Refused(message)
    unknown = [key for key in event if key not in ARGUMENTS]
    if unknown:
        message = f"unknown key {unknown[0]!r}; an event has {', '.join(sorted(ARGUMENTS))}"
        raise Refused(message)
    check_event_type(event.get("event_type"))
    texts = error_texts(event)
    for key in KEYS:
        value = texts[key] if key == "error_type" else event.get(key)
        if value is not None:
            check_key(key, value)
    if event.get("priority") is not None:
        check_priority(event["priority"])
    payload = event.get("payload")
    return {
        "event_type": event["event_type"],
        "payload": encode_json("payload", {} if payload is None else payload, PAYLOAD_BYTES),
        "event_id": event.get("event_id"),
        "source": event.get("source"),
        "correlation_id": event.get("correlation_id"),
        **texts,
        "priority": event.get("priority"),
        "ordering_key": event.get("ordering_key"),
        "not_before": instant(event.get("not_before")),
        "attributes": attributes_text(event.get("attributes")),
    }


def attributes_text(attributes: object) -> str:
    """Return attributes as JSON, with the trace that is current, unless they name one."""
    if not isinstance(attributes, Mapping | None):
        message = "attributes must be a mapping"
        raise Refused(message)
    given = dict(attributes or {})
    trace = {} if "traceparent" in given else current_trace()
    if trace:
        with suppress(Refused):  # there may be room for what is given, and no more
            return encode_json("attributes", {**trace, **given}, ATTRIBUTES_BYTES)
    return encode_json("attributes", given, ATTRIBUTES_BYTES)


def error_texts(event: Mapping[str, Any]) -> dict[str, str | None]:
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
    return {
        "error_type": kind,
        "error_message": None if message is None else cut(message, ERROR_MESSAGE_BYTES),
        "error_stack": None if stack is None else cut(stack, ERROR_STACK_BYTES),
    }


def instant(value: object) -> str | None:
    """Return a time with its zone as text in UTC. Raises Refused for any other value."""
    if value is None:
        return None
    if not isinstance(value, datetime) or value.utcoffset() is None:
        message = "not_before must be a datetime with a time zone, such as datetime.now(UTC)"
        raise Refused(message)
    try:
        return value.astimezone(UTC).isoformat()
    except OverflowError as error:
        message = "not_before is out of range: give a time in the years 1 to 9999 of UTC"
        raise Refused(message) from error
