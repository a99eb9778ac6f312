"""Signatures of what goes over HTTP, as Standard Webhooks has them (standardwebhooks.com, 1.0)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Final

from pydantic import SecretStr

from retryd.settings.signing_key import key_of

HEADERS: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")
TOLERANCE_SECONDS: Final = 300

_SECONDS = re.compile(r"[0-9]{1,12}")


def signed(
    message_id: str, seconds: int, body: bytes, keys: Iterable[SecretStr]
) -> Mapping[str, str]:
    """Return the headers that prove these bytes, at this time, with each of the keys."""
    content = f"{message_id}.{seconds}.".encode() + body
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(
            signature.decode() for signature in _signatures(content, keys)
        ),
    }


def verified(
    headers: Mapping[str, str], body: bytes, keys: Iterable[SecretStr], now: float
) -> bool:
    """Tell whether one of these keys has signed these bytes, no more than 300 s from `now`.

    Headers are as they came, in ISO 8859-1, by names in lower case. Every signature is compared
    with that of every key, so the time that it takes tells nothing of them.
    """
    message_id, seconds, signatures = (headers.get(name, "") for name in HEADERS)
    if not message_id or not _SECONDS.fullmatch(seconds):
        return False
    if abs(int(seconds) - now) > TOLERANCE_SECONDS:
        return False
    content = f"{message_id}.{seconds}.".encode("latin-1") + body
    given = signatures.encode("latin-1").split(b" ")
    ours = _signatures(content, keys)
    same = [hmac.compare_digest(each, other) for each in ours for other in given]
    return any(same)


def _signatures(content: bytes, keys: Iterable[SecretStr]) -> list[bytes]:
    digests = (hmac.digest(key_of(key), content, hashlib.sha256) for key in keys)
    return [b"v1," + base64.b64encode(digest) for digest in digests]
