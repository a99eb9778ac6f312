"""CloudEvents 1.0 as the SDK reads them, but with every digit, and nothing made up."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote

from cloudevents.core.bindings.http import HTTPMessage, from_binary
from cloudevents.core.exceptions import (
    CloudEventValidationError,
    InvalidAttributeTypeError,
    MissingRequiredAttributeError,
)
from cloudevents.core.v1.event import REQUIRED_ATTRIBUTES, CloudEvent

from retryd.domain.errors import Refused
from retryd.domain.json_text import BeyondReading, read_json_strictly
from retryd.web.fields import Draft, moment_of
from retryd.web.media import is_json, media_type_of
from retryd.web.problem import RequestRefused

if TYPE_CHECKING:
    from datetime import datetime

    from cloudevents.core.base import BaseCloudEvent
    from cloudevents.core.formats.base import Format
    from starlette.datastructures import Headers

PREFIX: Final = "ce-"
SAID: Final[Mapping[str, str]] = {
    "type": "event_type",
    "id": "event_id",
    "source": "source",
    "subject": "correlation_id",
    "errortype": "error_type",
    "errormessage": "error_message",
    "priority": "priority",
    "orderingkey": "ordering_key",
    "notbefore": "not_before",
}
"""Attributes of CloudEvents and what they are to retryd; all others stay attributes."""
ENVELOPE: Final = frozenset({*SAID, "specversion", "datacontenttype"})
NUMBER: Final = re.compile(r"-?[0-9]{1,9}")
VALUES: Final = frozenset({str, int, bool})
NOT_TAKEN: Final = "data is taken as JSON or text, not as {}: send a reference to it"


class BadData(Exception):
    """What an event carries cannot be taken: `pointer` leads there, `detail` says why."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.pointer = pointer
        self.detail = detail


class Exactly:
    """The part of a Format of the SDK that reads a body: JSON with all of its digits, or text."""

    def read_data(self, body: bytes, datacontenttype: str | None) -> Any:
        """Read the data of an event in binary mode."""
        try:
            return unpacked(body, media_type_of(datacontenttype))
        except BeyondReading as error:
            raise BadData(f"/data{error.pointer}", str(error)) from error
        except ValueError as error:
            kind = datacontenttype or "application/json"
            raise RequestRefused(400, f"the body is not {kind}: {error}") from error


EXACTLY: Final = Exactly()


def unpacked(data: bytes, media_type: str) -> Any:
    """Read data as its type says, JSON where it says nothing. Raises ValueError, RequestRefused."""
    if not data:
        return {}
    if not media_type or is_json(media_type):
        return read_json_strictly(data.decode())
    if media_type.startswith("text/"):
        return data.decode()
    raise RequestRefused(415, NOT_TAKEN.format(media_type))


def read_structured(found: object, draft: Draft) -> None:
    """Read an event in structured mode, a JSON object, into a draft."""
    if not isinstance(found, dict):
        draft.fault("", "an event is a JSON object")
        return
    said = {name: value for name, value in found.items() if value is not None}
    said.pop("data", None)
    said.pop("data_base64", None)
    try:
        timed = {"time": time_of(said["time"])} if "time" in said else {}
        event = enveloped({**said, **timed}, data_of(found))
    except BadData as bad:
        draft.fault(bad.pointer, bad.detail)
    except CloudEventValidationError as error:
        tell(error, draft)
    else:
        take(event, said, draft)


def read_binary(headers: Headers, body: bytes, draft: Draft) -> None:
    """Read an event in binary mode into a draft: attributes in headers, data in the body."""
    carried = {name: value for name, value in headers.items() if name.startswith(PREFIX)}
    said = {name.removeprefix(PREFIX): read_header(headers, name, draft) for name in carried}
    if draft.faults:
        return
    kind = headers.get("content-type")
    if body and kind is None:
        raise RequestRefused(415, "a body needs a Content-Type, such as application/json")
    told = carried if kind is None else {**carried, "content-type": kind}
    try:
        if "time" in said:
            time_of(said["time"])
        event = from_binary(HTTPMessage(told, body), cast("Format", EXACTLY), enveloped)
    except BadData as bad:
        draft.fault(bad.pointer, bad.detail)
    except CloudEventValidationError as error:
        tell(error, draft)
    else:
        take(event, said, draft)


def read_header(headers: Headers, name: str, draft: Draft) -> str:
    """Return an attribute that stands in a header, escaped (HTTP protocol binding, 3.1.3.2)."""
    pointer = f"/{name.removeprefix(PREFIX)}"
    values = headers.getlist(name)
    if len(values) > 1:
        draft.fault(pointer, f"the header {name} is given {len(values)} times")
    try:
        return unquote(values[0].encode("ascii").decode(), errors="strict")
    except UnicodeError:
        draft.fault(pointer, f"the header {name} has more than ASCII: write the rest as %XX")
        return ""


def check_headers(headers: Headers, found: object, draft: Draft) -> None:
    """Refuse headers that say something else than the event in structured mode, which counts."""
    said = found if isinstance(found, dict) else {}
    for name, value in headers.items():
        attribute = name.removeprefix(PREFIX)
        if name.startswith(PREFIX) and written(said.get(attribute)) != unquote(value):
            draft.fault(
                f"/{attribute}", f"the header {name} says something else: leave it out, or the same"
            )


def enveloped(attributes: dict[str, Any], data: Any) -> BaseCloudEvent:
    """Have the SDK check an envelope, without what it would make up. Raises its errors."""
    missing = [name for name in REQUIRED_ATTRIBUTES if name not in attributes]
    if missing:
        raise CloudEventValidationError(
            {name: [MissingRequiredAttributeError(name)] for name in missing}
        )
    return CloudEvent(attributes, data)


def time_of(value: object) -> datetime:
    """Return a time as the SDK has it. Raises BadData."""
    try:
        return moment_of(value)
    except Refused as refused:
        raise BadData("/time", f"time {refused}") from refused


def data_of(found: Mapping[str, Any]) -> Any:
    """Return the data of an event in structured mode, JSON or text. Raises BadData."""
    kind = found.get("datacontenttype")
    media_type = media_type_of(kind if isinstance(kind, str) else None)
    data, packed = found.get("data"), found.get("data_base64")
    if packed is not None:
        if "data" in found:
            raise BadData("/data_base64", "data and data_base64 are given both: give one")
        try:
            return unpacked(base64.b64decode(packed, validate=True), media_type)
        except BeyondReading as error:
            raise BadData("/data_base64", str(error)) from error
        except (TypeError, ValueError) as error:
            message = f"it is no base64 of {media_type or 'application/json'}: {error}"
            raise BadData("/data_base64", message) from error
    if not media_type or is_json(media_type):
        return {} if data is None else data
    if not media_type.startswith("text/"):
        raise RequestRefused(415, NOT_TAKEN.format(media_type))
    if not isinstance(data, str | None):
        raise BadData("/data", f"it is not text, as datacontenttype says ({media_type})")
    return {} if data is None else data


def take(event: BaseCloudEvent, said: Mapping[str, Any], draft: Draft) -> None:
    """Take what a good envelope says: what retryd has a name for, and the rest as attributes."""
    rest: dict[str, Any] = {}
    for attribute, value in event.get_attributes().items():
        name = SAID.get(attribute)
        if name is not None:
            draft.take(name, number(value) if attribute == "priority" else value, f"/{attribute}")
        elif attribute not in ENVELOPE and attribute in said:  # a time that nobody gave is none
            text = said[attribute] if attribute == "time" else value
            if type(text) in VALUES:
                rest[attribute] = text
            else:
                draft.fault(f"/{attribute}", "an attribute is text, a whole number, true or false")
    draft.take("payload", event.get_data(), "/data")
    if rest:
        draft.take("attributes", rest, "")


def written(value: object) -> str:
    """Write an attribute as a header has it, but for its escapes."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def number(value: object) -> object:
    """Read a whole number that came as text, as all do in headers."""
    return int(value) if isinstance(value, str) and NUMBER.fullmatch(value) else value


def tell(error: CloudEventValidationError, draft: Draft) -> None:
    """Note what the SDK found."""
    for name, found in error.errors.items():
        match found[0]:
            case MissingRequiredAttributeError():
                detail = f"{name} is missing"
            case InvalidAttributeTypeError():
                detail = f"{name} must be text"
            case other:
                detail = str(other)
        draft.fault(f"/{name}", detail)
