"""From the bytes of a request to events: CloudEvents or plain JSON, one or many, all or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from retryd.domain.json_text import BeyondReading, pointer_of, read_json_strictly
from retryd.domain.limits import KEY_BYTES, cut
from retryd.web.cloudevent import PREFIX, check_headers, read_binary, read_structured
from retryd.web.fields import CHECKS, HOPS, Arrival, Draft
from retryd.web.media import BATCH_TYPE, JSON_TYPE, STRUCTURED_TYPE, media_type_of, only, text_of
from retryd.web.problem import Fault, RequestRefused

if TYPE_CHECKING:
    from starlette.datastructures import Headers

EVENTS: Final = 1_000
FAULTS: Final = 100
HOPS_DIGITS: Final = 9
KEY_HEADER: Final = "idempotency-key"
UNPROVEN: Final = (
    "{} are not proven by the signature, which is of the body: send CloudEvents in structured mode,"
    " or say event_id in the body"
)
NOT_TAKEN: Final = (
    f"events are taken as {STRUCTURED_TYPE}, {BATCH_TYPE}, {JSON_TYPE},"
    " or in binary mode with headers ce-…"
)


def decode(
    headers: Headers, body: bytes, hops: int | None = None, webhook_id: str | None = None
) -> list[Arrival]:
    """Read the events of a request.

    `webhook_id` is that of a signed one, and names its plain events that have no name: nothing but
    it and the body is proven, so headers say nothing of events then. Raises RequestRefused, which
    names what is wrong with which event.
    """
    media_type = media_type_of(only(headers, "content-type"))
    carried = any(name.startswith(PREFIX) for name in headers)
    faults: list[Fault] = []
    first = Draft(0, faults, hops)
    if media_type == BATCH_TYPE:
        drafts = batch(headers, read(body), first)
    elif media_type == STRUCTURED_TYPE:
        drafts = [first]
        found = read(body)
        read_structured(found, first)
        check_headers(headers, found, first)
    elif carried and not media_type.startswith("application/cloudevents"):
        if webhook_id is not None:
            raise RequestRefused(422, UNPROVEN.format("headers ce-…"))
        drafts = [first]
        read_binary(headers, body, first)
    elif media_type == JSON_TYPE:
        drafts = plain(headers, read(body), webhook_id, first)
    else:
        raise RequestRefused(415, NOT_TAKEN)
    if faults:
        raise RequestRefused(422, "nothing was taken: see errors", faults[:FAULTS])
    return [draft.arrival() for draft in drafts]


def hops_of(headers: Headers) -> int | None:
    """Return how often what failed has come out of retryd before, as the sender says."""
    text = only(headers, HOPS)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= HOPS_DIGITS):
        raise RequestRefused(422, f"the header {HOPS} is no whole number, 0 or more")
    return int(text)


def read(body: bytes) -> Any:
    """Read JSON. Raises RequestRefused: 400 if it is none, 422 if it is beyond reading."""
    text = text_of(body)
    try:
        return read_json_strictly(text)
    except BeyondReading as error:
        index, pointer = "0", error.pointer
        if text.lstrip().startswith("[") and pointer:
            index, slash, rest = pointer.removeprefix("/").partition("/")
            pointer = slash + rest
        fault = Fault(int(index), pointer, str(error))
        raise RequestRefused(422, f"nothing was taken: {error}", [fault]) from error
    except ValueError as error:
        raise RequestRefused(400, f"the body is no JSON: {error}") from error


def batch(headers: Headers, found: Any, first: Draft) -> list[Draft]:
    """Read a batch of CloudEvents."""
    if any(name.startswith(PREFIX) for name in headers):
        raise RequestRefused(422, "headers ce-… say nothing of a batch: leave them out")
    drafts = drafts_of(found, first)
    for event, draft in zip(found, drafts, strict=True):
        read_structured(event, draft)
    return drafts


def plain(headers: Headers, found: Any, webhook_id: str | None, first: Draft) -> list[Draft]:
    """Read one plain event, or an array of them."""
    events = found if isinstance(found, list) else [found]
    drafts = drafts_of(events, first)
    key = only(headers, KEY_HEADER)
    if key is not None and webhook_id is not None:
        raise RequestRefused(422, UNPROVEN.format("headers, such as Idempotency-Key,"))
    if key is not None and len(drafts) > 1:
        raise RequestRefused(
            422, "an Idempotency-Key is that of one event: give each of several its event_id"
        )
    for event, draft in zip(events, drafts, strict=True):
        name = key or webhook_id
        if webhook_id is not None and isinstance(found, list):
            name = f"{webhook_id}.{draft.index}"  # the same when it is sent again
        read_plain(event, draft, name)
    return drafts


def drafts_of(found: Any, first: Draft) -> list[Draft]:
    """Return a draft for each event of an array, if there are not too many."""
    if not isinstance(found, list):
        raise RequestRefused(422, "a batch is a JSON array of events")
    if len(found) > EVENTS:
        raise RequestRefused(
            413, f"there are {len(found)} events, and {EVENTS} are taken at once: split them"
        )
    return [Draft(index, first.faults, first.hops) for index in range(len(found))]


def read_plain(event: Any, draft: Draft, event_id: str | None) -> None:
    """Read an object with the keys of `capture_failure`; null is the same as nothing."""
    if not isinstance(event, dict):
        draft.fault("", "an event is a JSON object")
        return
    if "event_type" not in event:
        draft.fault("/event_type", "event_type is missing; name what failed: sql.query.failed")
    for name, value in event.items():
        if name not in CHECKS:
            pointer = cut(pointer_of([name[:KEY_BYTES]]), KEY_BYTES)
            draft.fault(pointer, f"unknown key; there are {', '.join(CHECKS)}")
        elif value is not None or name == "event_type":
            draft.take(name, value, f"/{name}")
    if event_id is not None and event.get("event_id") is None:
        draft.take("event_id", event_id, "/event_id")
