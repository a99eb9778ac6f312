"""A retry as a CloudEvent 1.0 over HTTP: its attributes, headers and bodies."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from retryd.domain.limits import cut
from retryd.domain.retry import Retry

HOPS: Final = "retryd-hops"
"""The header and the attribute that count how often a failure has come out of retryd."""
OWN_SOURCE: Final = "retryd"
"""The source of what came without one: a CloudEvent must have it."""

HEADER_BYTES: Final = 512
"""What a header has at most, before it is escaped: servers take 8 KiB of headers, some less."""
JSON_TYPE: Final = "application/json"
STRUCTURED_TYPE: Final = "application/cloudevents+json"
# Printable ASCII, but for space, quotation mark and per cent (HTTP protocol binding, 3.1.3.2).
PLAIN: Final = "!#$&'()*+,/:;<=>?@[\\]^_`{|}~-."
_ALL_PLAIN: Final = re.compile(f"[A-Za-z0-9{re.escape(PLAIN)}]*")


def attributes_of(retry: Retry) -> dict[str, str | int]:
    """Return what the event says of itself, its payload apart."""
    said: dict[str, str | int | None] = {
        "specversion": "1.0",
        "id": retry.event_id,
        "source": retry.source or OWN_SOURCE,
        "type": retry.event_type,
        "time": retry.created_at.isoformat(),
        "subject": retry.correlation_id,
        "errortype": retry.error_type,
        "errormessage": retry.error_message,
        "retryid": str(retry.id),
        "retrylife": retry.life,
        "retryattempt": retry.attempt,
    }
    return {name: value for name, value in said.items() if value not in {None, ""}}


def binary(retry: Retry) -> tuple[Mapping[str, str], bytes]:
    """Return headers and body in binary content mode; the body is the payload as it is stored."""
    headers = {
        f"ce-{name}": escaped(cut(str(value), HEADER_BYTES))
        for name, value in attributes_of(retry).items()
    }
    return {**headers, "content-type": JSON_TYPE}, retry.payload_text.encode()


def structured(retry: Retry) -> tuple[Mapping[str, str], bytes]:
    """Return headers and body in structured content mode; the payload stands in it as stored."""
    head = json.dumps({**attributes_of(retry), "datacontenttype": JSON_TYPE}, ensure_ascii=False)
    body = f'{head.removesuffix("}")}, "data": {retry.payload_text}}}'
    return {"content-type": f"{STRUCTURED_TYPE}; charset=utf-8"}, body.encode()


def escaped(text: str) -> str:
    """Write a value as a header carries it."""
    return text if _ALL_PLAIN.fullmatch(text) else quote(text, safe=PLAIN)


def hops_of(retry: Retry) -> int:
    """Count how often this failure has come out of retryd before; what is no number counts as 0."""
    if HOPS not in retry.attributes_text:
        return 0
    hops = retry.attributes.get(HOPS)
    return hops if isinstance(hops, int) and not isinstance(hops, bool) and hops > 0 else 0
