"""What a request says of its body: one value, one media type, one way of writing text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from retryd.web.problem import RequestRefused

if TYPE_CHECKING:
    from starlette.datastructures import Headers

JSON_TYPE: Final = "application/json"
STRUCTURED_TYPE: Final = "application/cloudevents+json"
BATCH_TYPE: Final = "application/cloudevents-batch+json"
IS_JSON: Final = re.compile(r"(application|text)/([a-z0-9.!#$&^_-]+\+)?json", re.ASCII)
CHARSET: Final = re.compile(r';\s*charset\s*=\s*"?([^";\s]*)"?', re.ASCII | re.IGNORECASE)
UTF_8: Final = frozenset({"utf-8", "utf8"})


def only(headers: Headers, name: str) -> str | None:
    """Return the value of a header that may be given once. Raises RequestRefused."""
    values = headers.getlist(name)
    if len(values) > 1:
        raise RequestRefused(422, f"the header {name} is given {len(values)} times: give it once")
    return values[0] if values else None


def media_type_of(text: str | None) -> str:
    """Return a media type without its parameters, in lower case; empty if there is none.

    Raises RequestRefused for text that is not in UTF-8.
    """
    if text is None:
        return ""
    for charset in CHARSET.findall(text):
        if charset.lower() not in UTF_8:
            raise RequestRefused(415, "the charset is not utf-8: send the body in UTF-8")
    return text.partition(";")[0].strip().lower()


def is_json(media_type: str) -> bool:
    """Tell whether a media type is one of JSON."""
    return IS_JSON.fullmatch(media_type) is not None


def text_of(body: bytes) -> str:
    """Decode a body that should be JSON. Raises RequestRefused."""
    if body.startswith(b"\xef\xbb\xbf"):
        raise RequestRefused(400, "the body begins with a byte order mark: leave it out")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise RequestRefused(
            400, f"the body is no UTF-8: byte {error.start} cannot be decoded"
        ) from error
