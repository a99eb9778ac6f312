"""Signatures of what is delivered, as Standard Webhooks has them (standardwebhooks.com, 1.0)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping

from pydantic import SecretStr

from retryd.settings.signing_key import key_of


def signed(
    message_id: str, seconds: int, body: bytes, keys: Iterable[SecretStr]
) -> Mapping[str, str]:
    """Return the headers that prove these bytes, at this time, with each of the keys."""
    content = f"{message_id}.{seconds}.".encode() + body
    signatures = (hmac.digest(key_of(key), content, hashlib.sha256) for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(
            f"v1,{base64.b64encode(signature).decode()}" for signature in signatures
        ),
    }
